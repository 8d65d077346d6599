// How fast an answer came, what it took, and how full the cache was.
import type { Message, Statistics } from "../chat/conversation";
import { perSecond, seconds, whole } from "./format";

type Row = [label: string, value: string];

function rowsOf(message: Message, { usage, timings, firstTokenSeconds, tokensPerSecond }: Statistics): Row[] {
  const rows: (Row | false)[] = [];
  const add = (label: string, value: number | undefined, words: (n: number) => string) => rows.push(value !== undefined && [label, words(value)]);
  const cached = timings?.cached_tokens ?? usage?.cached_tokens;
  const { prompt_seconds, generated_seconds, kv_cache_tokens, kv_cache_capacity } = timings ?? {};
  rows.push(!!message.model && ["Model", message.model]);
  add("Speed", tokensPerSecond, perSecond);
  add("First token after", firstTokenSeconds, seconds);
  add("Prompt", usage?.prompt_tokens ?? timings?.prompt_tokens, (n) => `${whole(n)} tokens`);
  add("\u2026 of these cached", cached, (n) => `${whole(n)} tokens`);
  add("Time to read the prompt", prompt_seconds, seconds);
  add("Answer", usage?.completion_tokens ?? timings?.generated_tokens, (n) => `${whole(n)} tokens`);
  add("Time to write it", generated_seconds, seconds);
  add("Cache in use", kv_cache_tokens, (n) => (kv_cache_capacity ? `${whole(n)} of ${whole(kv_cache_capacity)} tokens` : `${whole(n)} tokens`));
  rows.push(!!message.finish && ["Ended by", message.finish]);
  return rows.filter((row) => row !== false);
}

export function Figures({ message }: { message: Message }) {
  const statistics = message.statistics;
  if (!statistics) return null;
  const rows = rowsOf(message, statistics);
  const short = [
    statistics.tokensPerSecond !== undefined && perSecond(statistics.tokensPerSecond),
    statistics.firstTokenSeconds !== undefined && `first after ${seconds(statistics.firstTokenSeconds)}`,
  ].filter(Boolean);
  if (rows.length === 0) return null;
  const closeWhenLeft = (event: FocusEvent) => {
    const card = event.currentTarget as HTMLDetailsElement;
    if (!card.contains(event.relatedTarget as Node | null)) card.open = false;
  };
  return (
    <details class="figures" onFocusOut={closeWhenLeft}>
      <summary>{short.join(" \u00b7 ") || "Figures"}</summary>
      <dl class="figures-card">
        {rows.map(([label, value]) => <div key={label}><dt>{label}</dt><dd>{value}</dd></div>)}
      </dl>
    </details>
  );
}
