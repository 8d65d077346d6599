// The tokens of an answer, tinted by how likely each was; the one under the pointer, or chosen by the arrow keys, shows its alternatives.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Token } from "../api/types";
import { store } from "../chat/library";
import { percent } from "./format";

const kMostShown = 20_000;

const visible = (token: string) => token.replace(/ /g, "\u00b7").replace(/\t/g, "\u2192").replace(/\r?\n/g, "\u21b5") || "\u2205";
const withBreaks = (token: string) => visible(token).split(/(?<=\u21b5)/).map((line, i) => [i > 0 && <br />, line]);
const shade = (logprob: number) => Math.min(4, Math.floor(-logprob / 0.7)); // 0: above 50 %; 4: below 6 %

function Alternatives({ token, anchor }: { token: Token; anchor: HTMLElement }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const card = box.current, host = card?.offsetParent;
    if (!card || !host) return;
    const at = [...anchor.getClientRects()].at(-1) ?? anchor.getBoundingClientRect(), frame = host.getBoundingClientRect();
    const widest = host.clientWidth - card.offsetWidth;
    card.style.left = `${Math.max(0, Math.min(at.left - frame.left, widest))}px`;
    card.style.top = `${at.bottom - frame.top + 6}px`;
  }, [token, anchor]);
  const others = token.alternatives.filter((a) => a.token !== token.token);
  const rows = [token, ...others].sort((a, b) => b.logprob - a.logprob);
  return (
    <div class="alternatives" ref={box} role="status">
      {rows.map((a, i) => (
        <div key={i} class={a.token === token.token ? "alternative is-chosen" : "alternative"}>
          <code>{visible(a.token)}</code>
          <span class="alternative-bar" aria-hidden="true"><span style={{ width: `${100 * Math.exp(Math.min(0, a.logprob))}%` }} /></span>
          <span class="alternative-share">{percent(Math.exp(a.logprob))}</span>
        </div>
      ))}
    </div>
  );
}

export function TokenView({ message }: { message: string }) {
  const [tokens, setTokens] = useState<Token[] | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => void store.tokens(message).then((list) => setTokens(list.slice(0, kMostShown))), [message]);
  if (!tokens) return <p class="remark">Reading the tokens.</p>;
  if (tokens.length === 0) return <p class="remark">The server sent no log-probabilities for this answer.</p>;

  const indexOf = (target: EventTarget | null) => {
    const index = (target as Element | null)?.closest<HTMLElement>("[data-token]")?.dataset.token;
    return index === undefined ? null : Number(index);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    setAt(at === null ? 0 : Math.max(0, Math.min(tokens.length - 1, at + step)));
  };
  const anchor = at === null ? null : host.current?.querySelector<HTMLElement>(`[data-token="${at}"]`);
  return (
    <div class="tokens" ref={host} tabIndex={0} role="group" aria-label="Tokens of the answer; the arrow keys go from one to the next" onKeyDown={onKeyDown}
      onPointerOver={(event) => setAt(indexOf(event.target) ?? at)} onPointerLeave={() => setAt(null)} onClick={(event) => setAt(indexOf(event.target))} onBlur={() => setAt(null)}>
      <div class="tokens-text" dir="auto">
        {tokens.map((t, i) => (
          <span key={i} class={`token shade-${shade(t.logprob)} ${i === at ? "is-at" : ""}`} data-token={i}>
            {withBreaks(t.token)}
            {t.token.endsWith("\n") && <br />}
          </span>
        ))}
      </div>
      {at !== null && anchor && <Alternatives token={tokens[at]!} anchor={anchor} />}
    </div>
  );
}
