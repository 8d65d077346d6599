// The text of an answer: as Markdown, or plain when it is too long for that.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { copyText } from "../text/clipboard";
import { kLongestMarkdown, MarkdownView } from "../text/markdown_view";
import { whole } from "./format";

const kRest = 4; // times as long as showing took, before it is shown again

// Shows `text` now, or, when the last showing took long, after a rest, so that the page stays responsive.
function useRestedText(text: string, growing: boolean, show: (text: string) => void): void {
  const state = useRef({ readyAt: 0, timer: undefined as ReturnType<typeof setTimeout> | undefined });
  useLayoutEffect(() => {
    const run = () => {
      const begin = performance.now();
      show(text);
      state.current.readyAt = performance.now() + kRest * (performance.now() - begin);
    };
    clearTimeout(state.current.timer);
    const wait = growing ? state.current.readyAt - performance.now() : 0;
    if (wait <= 0) run();
    else state.current.timer = setTimeout(run, wait);
  }, [text, growing]);
  useEffect(() => () => clearTimeout(state.current.timer), []);
}

async function onClick(event: MouseEvent): Promise<void> {
  const button = (event.target as Element).closest<HTMLElement>(".copy-code");
  const code = button?.closest(".code")?.querySelector("pre")?.textContent;
  if (!button || code === undefined || code === null) return;
  button.textContent = (await copyText(code)) ? "Copied" : "Not copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

function MarkdownText({ text, growing }: { text: string; growing: boolean }) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<MarkdownView | undefined>(undefined);
  useRestedText(text, growing, (now) => {
    if (host.current) (view.current ??= new MarkdownView(host.current)).update(now);
  });
  return <div class="markdown" ref={host} onClick={onClick} />;
}

const kPart = 20_000; // characters
const kFirstParts = 2;

// Pieces near kPart long that end at a line's end, where there is one.
function partsOf(text: string): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length; ) {
    const line = text.lastIndexOf("\n", at + kPart);
    const end = at + kPart >= text.length ? text.length : line >= at ? line + 1 : at + kPart;
    parts.push(text.slice(at, end));
    at = end;
  }
  return parts;
}

// The beginning of a text, and the rest when it is asked for. Parts that are out of sight cost no layout.
export function PlainText({ text }: { text: string }) {
  const [all, setAll] = useState(false);
  const parts = useMemo(() => partsOf(text), [text]);
  if (parts.length <= kFirstParts) return <>{text}</>;
  return (
    <>
      {(all ? parts : parts.slice(0, kFirstParts)).map((part, i) => <span key={i} class="text-part">{part}</span>)}
      {!all && <button type="button" class="button show-all" onClick={() => setAll(true)}>Show all {whole(text.length)} characters</button>}
    </>
  );
}

function LongText({ text }: { text: string }) {
  return (
    <>
      <p class="remark">This text is too long to be formatted; it is shown as it is.</p>
      <pre class="plain-text" dir="auto"><PlainText text={text} /></pre>
    </>
  );
}

export function AnswerText({ text, growing }: { text: string; growing: boolean }) {
  return text.length > kLongestMarkdown ? <LongText text={text} /> : <MarkdownText text={text} growing={growing} />;
}
