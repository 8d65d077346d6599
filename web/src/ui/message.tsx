// One message: its text in one of three views, its branches, and what can be done with it.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { chooseBranch, goOn, regenerate, resend } from "../chat/actions";
import type { Message } from "../chat/conversation";
import { current, editing, generation, revision, tree } from "../chat/state";
import { directionOf } from "../text/direction";
import type { Generation } from "../chat/generation";
import { AnswerText, PlainText } from "./answer_text";
import { CopyButton, IconButton } from "./controls";
import { ErrorCard } from "./error_card";
import { Figures } from "./figures";
import { whole } from "./format";
import { fitHeight, isComposing } from "./text_area";
import { TokenView } from "./token_view";

type View = "text" | "raw" | "tokens";

function Branches({ message }: { message: Message }) {
  void revision.value;
  const siblings = tree.value.siblings(message);
  if (siblings.length < 2) return null;
  const place = siblings.findIndex((m) => m.id === message.id);
  const busy = generation.value !== undefined;
  return (
    <span class="branches" role="group" aria-label="Versions">
      <IconButton icon="left" label="Previous version" disabled={busy || place === 0} onClick={() => chooseBranch(message, -1)} />
      <span>{place + 1}<span class="visually-hidden"> of </span><span aria-hidden="true"> / </span>{siblings.length}</span>
      <IconButton icon="right" label="Next version" disabled={busy || place === siblings.length - 1} onClick={() => chooseBranch(message, 1)} />
    </span>
  );
}

function Editor({ message }: { message: Message }) {
  const [text, setText] = useState(message.content);
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => area.current?.focus(), []);
  useLayoutEffect(() => fitHeight(area.current), [text]);
  const close = () => (editing.value = null);
  const save = () => {
    close();
    void resend(message, text);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (isComposing(event) || (event.key !== "Escape" && (event.key !== "Enter" || event.shiftKey))) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Escape") close();
    else save();
  };
  return (
    <form class="editor" onSubmit={(event) => (event.preventDefault(), save())}>
      <textarea ref={area} dir={directionOf(text)} aria-label="Change the message" value={text} onInput={(event) => setText(event.currentTarget.value)} onKeyDown={onKeyDown} />
      <div class="editor-actions">
        <button type="button" class="button" onClick={close}>Cancel</button>
        <button type="submit" class="button is-main" disabled={!text.trim()}>Send as a new version</button>
      </div>
    </form>
  );
}

export function Question({ message }: { message: Message }) {
  if (editing.value === message.id) return <article class="message question" id={`m-${message.id}`}><Editor message={message} /></article>;
  return (
    <article class="message question" id={`m-${message.id}`}>
      <h2 class="visually-hidden">You</h2>
      <div class="question-text" dir="auto"><PlainText text={message.content} /></div>
      <div class="message-foot">
        <Branches message={message} />
        <CopyButton label="Copy the message" text={() => message.content} />
        <IconButton icon="pencil" label="Change and send again" disabled={generation.value !== undefined} onClick={() => (editing.value = message.id)} />
      </div>
    </article>
  );
}

function Waiting({ running }: { running: Generation }) {
  const progress = running.progress.value;
  if (!progress) return <p class="waiting"><span class="waiting-dot" aria-hidden="true" />Waiting for the first token</p>;
  return (
    <div class="waiting">
      <label>
        Reading the prompt: {whole(progress.processed)} of {whole(progress.total)} tokens
        <progress value={progress.processed} max={progress.total} />
      </label>
    </div>
  );
}

function Growing({ running }: { running: Generation }) {
  const text = running.content.value;
  return text ? <AnswerText text={text} growing /> : <Waiting running={running} />;
}

function Body({ message, view }: { message: Message; view: View }) {
  if (view === "raw") return <pre class="plain-text" dir="auto"><PlainText text={message.content} /></pre>;
  if (view === "tokens") return <TokenView message={message.id} />;
  if (message.content === "" && !message.error) return <p class="remark">{message.finish === "stopped" ? "Stopped before the first token." : "The answer is empty."}</p>;
  return message.content ? <AnswerText text={message.content} growing={false} /> : null;
}

const kEndings: Record<string, string> = {
  length: "The answer ends here because it reached the limit of tokens or the context.",
  stopped: "Stopped.",
  content_filter: "The server cut the answer.",
};

// Why an answer is not complete, and the offer to go on with it.
function Ending({ message }: { message: Message }) {
  const reason = kEndings[message.finish ?? ""];
  const cut = message.finish === "length" || message.finish === "stopped" || message.error;
  if (!message.content || (!reason && !cut)) return null;
  const last = current.value?.leaf === message.id && !generation.value;
  return (
    <p class="remark ending">
      {!message.error && reason}
      {cut && last && <button type="button" class="button" onClick={() => goOn(message)}>Go on</button>}
    </p>
  );
}

function AnswerFoot({ message, view, show }: { message: Message; view: View; show: (view: View) => void }) {
  const nothing = message.content === "";
  if (nothing && message.error) return <div class="message-foot"><Branches message={message} /></div>;
  const toggle = (other: View) => show(view === other ? "text" : other);
  return (
    <div class="message-foot">
      <Branches message={message} />
      {!nothing && <CopyButton label="Copy the answer" text={() => message.content} />}
      <IconButton icon="retry" label="Another answer" disabled={generation.value !== undefined} onClick={() => regenerate(message)} />
      {!nothing && <IconButton icon="code" label="As it was written" pressed={view === "raw"} onClick={() => toggle("raw")} />}
      {message.hasTokens && <IconButton icon="tokens" label="Tokens and their probabilities" pressed={view === "tokens"} onClick={() => toggle("tokens")} />}
      {!nothing && <Figures message={message} />}
    </div>
  );
}

export function Answer({ message }: { message: Message }) {
  const [view, setView] = useState<View>("text");
  const running = generation.value?.message.id === message.id ? generation.value : undefined;
  const retry = running || generation.value ? undefined : () => void regenerate(message);
  return (
    <article class="message answer" id={`m-${message.id}`} aria-busy={running !== undefined}>
      <h2 class="visually-hidden">{message.model || "Answer"}</h2>
      {running ? <Growing running={running} /> : <Body message={message} view={view} />}
      {!running && <Ending message={message} />}
      {!running && message.error && <ErrorCard report={message.error} onRetry={retry} />}
      {running ? <RunningFoot running={running} /> : <AnswerFoot message={message} view={view} show={setView} />}
    </article>
  );
}

function RunningFoot({ running }: { running: Generation }) {
  const rate = running.tokensPerSecond.value;
  return <div class="message-foot is-running">{rate !== null && <span class="figures">{rate.toFixed(1)} tokens/s</span>}</div>;
}
