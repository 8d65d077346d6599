// Where a message is written.
import { useEffect, useRef, useState } from "preact/hooks";
import { lastQuestion, send, stop } from "../chat/actions";
import { current, editing, generation, path, server } from "../chat/state";
import { directionOf } from "../text/direction";
import { whole } from "./format";
import { Icon } from "./icons";
import { fitHeight, isComposing } from "./text_area";

// Tokens that the conversation took up when its last answer ended.
function contextUsed(): number | undefined {
  const usage = path.value.findLast((m) => m.statistics?.usage)?.statistics?.usage;
  if (!usage) return undefined;
  return usage.total_tokens ?? (usage.prompt_tokens ?? 0) + (usage.completion_tokens ?? 0);
}

function ContextMeter() {
  const used = contextUsed();
  const size = server.value.context;
  if (used === undefined) return null;
  if (!size) return <span>{whole(used)} tokens of context</span>;
  const share = Math.min(1, used / size);
  return (
    <span class={`meter ${share > 0.9 ? "is-full" : ""}`} title="Tokens of the model's context that this conversation takes up">
      <span class="meter-bar" aria-hidden="true"><span style={{ width: `${100 * share}%` }} /></span>
      {whole(used)} of {whole(size)} tokens
    </span>
  );
}

export function Composer() {
  const [text, setText] = useState("");
  const area = useRef<HTMLTextAreaElement>(null);
  const drafts = useRef(new Map<string, string>());
  const id = current.value?.id ?? "";
  const running = generation.value !== undefined;

  useEffect(() => {
    setText(drafts.current.get(id) ?? "");
    if (matchMedia("(pointer: fine)").matches) area.current?.focus();
  }, [id]);
  useEffect(() => fitHeight(area.current), [text]);

  const change = (now: string) => {
    setText(now);
    drafts.current.set(id, now);
  };
  const submit = () => {
    if (running || !text.trim()) return;
    change("");
    void send(text);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (isComposing(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      submit();
    }
    const last = event.key === "ArrowUp" && text === "" && !running ? lastQuestion() : undefined;
    if (last) {
      event.preventDefault();
      editing.value = last.id;
    }
  };
  return (
    <form class="composer" onSubmit={(event) => (event.preventDefault(), submit())}>
      <div class="composer-box">
        <textarea id="composer" ref={area} rows={1} dir={directionOf(text)} aria-label="Message" placeholder="Write a message" value={text}
          onInput={(event) => change(event.currentTarget.value)} onKeyDown={onKeyDown} enterkeyhint="send" />
        {running
          ? <button type="button" class="send-button" aria-label="Stop" title="Stop (Esc)" onClick={stop}><Icon name="stop" /></button>
          : <button type="submit" class="send-button" aria-label="Send" title="Send (Enter)" disabled={!text.trim()}><Icon name="send" /></button>}
      </div>
      <div class="composer-foot">
        <ContextMeter />
        <span class="composer-hint"><kbd>Enter</kbd> sends, <kbd>Shift</kbd> <kbd>Enter</kbd> begins a line</span>
      </div>
    </form>
  );
}
