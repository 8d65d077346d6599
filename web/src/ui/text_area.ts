// While an input method composes, Enter chooses a word. Safari ends the composition before the key arrives, but marks it with 229.
export const isComposing = (event: KeyboardEvent) => event.isComposing || event.keyCode === 229;

// As high as its text, in browsers whose style sheets cannot say so (field-sizing).
export function fitHeight(area: HTMLTextAreaElement | null): void {
  if (!area || CSS.supports("field-sizing", "content")) return;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}

const kFirstLetter = /\p{L}/u;
const kRightToLeft = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;

// The direction of a text by its first letter. What dir="auto" does as well, but in Chromium with seconds for every megabyte.
export function directionOf(text: string): "rtl" | "ltr" {
  return kRightToLeft.test(kFirstLetter.exec(text.slice(0, 1000))?.[0] ?? "") ? "rtl" : "ltr";
}
