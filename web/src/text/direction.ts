const kFirstLetter = /\p{L}/u;
const kRightToLeft = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;

// The direction of a text by its first letter. dir="auto" does as much, but takes Chromium seconds for every megabyte in
// a field, and does not look into elements that have a direction of their own.
export function directionOf(text: string): "rtl" | "ltr" {
  return kRightToLeft.test(kFirstLetter.exec(text.slice(0, 1000))?.[0] ?? "") ? "rtl" : "ltr";
}
