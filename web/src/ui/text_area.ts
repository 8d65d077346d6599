// While an input method composes, Enter chooses a word. Safari ends the composition before the key arrives, but marks it with 229.
export const isComposing = (event: KeyboardEvent) => event.isComposing || event.keyCode === 229;

// As high as its text, in browsers whose style sheets cannot say so (field-sizing).
export function fitHeight(area: HTMLTextAreaElement | null): void {
  if (!area || CSS.supports("field-sizing", "content")) return;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}
