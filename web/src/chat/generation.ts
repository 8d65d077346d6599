// One answer while it arrives. Several conversations may each have one.
import { signal } from "@preact/signals";
import { ServerError, type ErrorReport } from "../api/server_error";
import type { PromptProgress, StreamPart, Token } from "../api/types";
import type { Message, Statistics } from "./conversation";

const kShowEvery = 40; // milliseconds between two updates of what is shown

export interface Outcome {
  content: string;
  tokens: Token[];
  finish?: string;
  model?: string;
  statistics: Statistics;
  error?: ErrorReport;
}

const seconds = () => performance.now() / 1000;

export class Generation {
  readonly content = signal("");
  readonly progress = signal<PromptProgress | null>(null);
  readonly pieces = signal(0); // chunks with text, near the number of tokens
  readonly tokensPerSecond = signal<number | null>(null);

  private readonly abort = new AbortController();
  private readonly begin = seconds();
  private firstAt = 0;
  private lastAt = 0;
  private text: string;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly outcome: Outcome;
  private readonly tokensBefore: number;

  // What arrives follows the content of `message`, whose tokens are `tokens`: both are empty but for an answer that goes on.
  constructor(readonly message: Message, tokens: Token[] = []) {
    this.text = message.content;
    this.content.value = this.text;
    this.tokensBefore = tokens.length;
    this.outcome = { content: "", tokens: [...tokens], statistics: {} };
  }

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  // Closes the connection, by which the server stops the work.
  stop(): void {
    this.abort.abort();
  }

  // Reads `parts` to their end. Never throws: what went wrong is in the outcome, beside what had arrived.
  async run(parts: AsyncIterable<StreamPart>): Promise<Outcome> {
    try {
      for await (const part of parts) this.take(part);
    } catch (error) {
      if (this.signal.aborted) this.outcome.finish = "stopped";
      else this.outcome.error = error instanceof ServerError ? error.report : { kind: "failed", detail: String(error) };
    }
    clearTimeout(this.timer);
    this.show();
    this.outcome.content = this.text;
    this.outcome.statistics.firstTokenSeconds = this.firstAt ? this.firstAt - this.begin : undefined;
    this.outcome.statistics.tokensPerSecond = this.rate() ?? undefined;
    return this.outcome;
  }

  private take(part: StreamPart): void {
    if (part.progress) this.progress.value = part.progress;
    if (part.model) this.outcome.model = part.model;
    if (part.finish) this.outcome.finish = part.finish;
    if (part.usage) this.outcome.statistics.usage = part.usage;
    if (part.timings) this.outcome.statistics.timings = part.timings;
    for (const token of part.tokens) this.outcome.tokens.push(token);
    if (part.text === "") return;
    this.lastAt = seconds();
    if (!this.firstAt) this.firstAt = this.lastAt;
    this.text += part.text;
    this.pieces.value += 1;
    this.timer ??= setTimeout(() => this.show(), kShowEvery);
  }

  // Tokens after the first by the time since the first: the server's count where it gave one.
  private rate(): number | null {
    const { timings, usage } = this.outcome.statistics;
    const generated = timings?.generated_tokens ?? usage?.completion_tokens;
    if (generated && timings?.generated_seconds) return generated / timings.generated_seconds;
    const count = generated ?? Math.max(this.outcome.tokens.length - this.tokensBefore, this.pieces.peek());
    const time = this.lastAt - this.firstAt;
    return count > 1 && time > 0 ? (count - 1) / time : null;
  }

  private show(): void {
    this.timer = undefined;
    this.content.value = this.text;
    this.tokensPerSecond.value = this.rate();
    if (this.text) this.progress.value = null;
  }
}
