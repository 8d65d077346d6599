// System prompt, sampling, key, appearance and data.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Sampling } from "../api/types";
import { changeSettings, useAsDefaults } from "../chat/actions";
import { exportConversations, importFile, removeAll } from "../chat/library";
import { greet } from "../chat/server";
import { conversations, current, focusKey, panel, server } from "../chat/state";
import { apiKey, defaults, keepKey, setApiKey, theme, type Theme } from "../store/preferences";
import { Dialog, IconButton } from "./controls";
import { whole } from "./format";
import { fitHeight } from "./text_area";

type NumberKey = Exclude<keyof Sampling, "stop">;

interface Field {
  key: NumberKey;
  label: string;
  hint: string;
  min: number;
  max: number;
  step: number | "any"; // 1: whole numbers
}

const kFields: Field[] = [
  { key: "temperature", label: "Temperature", hint: "0 always takes the likeliest token; higher is more varied", min: 0, max: 2, step: "any" },
  { key: "top_p", label: "Top-p", hint: "the likeliest tokens that together have this probability", min: 0, max: 1, step: "any" },
  { key: "top_k", label: "Top-k", hint: "this many of the likeliest tokens", min: 0, max: 1_000_000, step: 1 },
  { key: "min_p", label: "Min-p", hint: "at least this share of the likeliest token's probability", min: 0, max: 1, step: "any" },
  { key: "presence_penalty", label: "Presence penalty", hint: "against tokens that were used", min: -2, max: 2, step: "any" },
  { key: "frequency_penalty", label: "Frequency penalty", hint: "against tokens by how often they were used", min: -2, max: 2, step: "any" },
  { key: "max_tokens", label: "Longest answer", hint: "tokens", min: 1, max: 10_000_000, step: 1 },
  { key: "seed", label: "Seed", hint: "the same seed gives the same answer", min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
  { key: "alternatives", label: "Alternatives per token", hint: "log-probabilities to ask for, 0 to 20; empty asks for none", min: 0, max: 20, step: 1 },
];

// A number in range, undefined for an empty field, null for anything else.
export function readField(field: Field, text: string): number | undefined | null {
  if (text.trim() === "") return undefined;
  const value = Number(text);
  const whole = field.step !== 1 || Number.isInteger(value);
  return Number.isFinite(value) && value >= field.min && value <= field.max && whole ? value : null;
}

function NumberField({ field, value, change }: { field: Field; value: number | undefined; change: (value: number | undefined) => void }) {
  const [wrong, setWrong] = useState(false);
  const onChange = (event: Event) => {
    const read = readField(field, (event.currentTarget as HTMLInputElement).value);
    setWrong(read === null);
    if (read !== null) change(read);
  };
  const id = `field-${field.key}`;
  return (
    <div class="field">
      <label for={id}>{field.label}</label>
      <input id={id} type="text" inputMode="decimal" autocomplete="off" value={value ?? ""} placeholder={`${server.value.defaults[field.key] ?? "server default"}`} aria-describedby={`${id}-hint`} aria-invalid={wrong} onChange={onChange} />
      <small id={`${id}-hint`} class={wrong ? "is-wrong" : ""}>
        {wrong ? `needs ${field.step === 1 ? "a whole number" : "a number"} from ${field.min} to ${whole(field.max)}` : field.hint}
      </small>
    </div>
  );
}

function SamplingFields({ sampling }: { sampling: Sampling }) {
  const change = (key: NumberKey, value: number | undefined) => changeSettings({ sampling: { ...sampling, [key]: value } });
  const stops = (event: Event) => {
    const lines = (event.currentTarget as HTMLTextAreaElement).value.split("\n").filter((line) => line !== "");
    void changeSettings({ sampling: { ...sampling, stop: lines.length ? lines : undefined } });
  };
  return (
    <>
      <div class="fields">{kFields.map((f) => <NumberField key={f.key} field={f} value={sampling[f.key]} change={(v) => change(f.key, v)} />)}</div>
      <div class="field is-wide">
        <label for="field-stop">Stop strings</label>
        <textarea id="field-stop" rows={2} spellcheck={false} value={(sampling.stop ?? []).join("\n")} onChange={stops} aria-describedby="field-stop-hint" />
        <small id="field-stop-hint">one a line; the answer ends before any of them</small>
      </div>
    </>
  );
}

function ThisConversation() {
  const conversation = current.value;
  const { system, sampling } = conversation ?? defaults.value;
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => fitHeight(area.current), []);
  return (
    <section>
      <h3>{conversation ? "This conversation" : "New conversations"}</h3>
      <div class="field is-wide">
        <label for="field-system">System prompt</label>
        <textarea id="field-system" ref={area} rows={3} dir="auto" value={system} placeholder="How the model should answer" onInput={(event) => fitHeight(event.currentTarget)} onChange={(event) => changeSettings({ system: event.currentTarget.value })} />
      </div>
      <SamplingFields sampling={sampling} />
      {conversation && <button type="button" class="button" onClick={() => useAsDefaults(conversation)}>Use for new conversations</button>}
    </section>
  );
}

function Key() {
  const [wanted] = useState(() => focusKey.peek() > 0);
  const [text, setText] = useState(apiKey.value);
  const [keep, setKeep] = useState(keepKey.value);
  useEffect(() => void (focusKey.value = 0), []);
  const save = (key: string, kept: boolean) => {
    setApiKey(key, kept);
    void greet();
  };
  return (
    <section>
      <h3>API key</h3>
      <form class="field is-wide" onSubmit={(event) => (event.preventDefault(), save(text, keep))}>
        <label for="field-key">Key for this server</label>
        <input id="field-key" autofocus={wanted} type="password" autocomplete="off" spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} onChange={() => save(text, keep)} />
        <label class="check"><input type="checkbox" checked={keep} onChange={(event) => (setKeep(event.currentTarget.checked), save(text, event.currentTarget.checked))} />Remember it in this browser</label>
        <small>{keep ? "Everyone who uses this browser can read it." : "It is forgotten when the page closes."}</small>
      </form>
    </section>
  );
}

const kThemes: [Theme, string][] = [["system", "As the system"], ["light", "Light"], ["dark", "Dark"]];

function Appearance() {
  return (
    <section>
      <h3 id="appearance">Appearance</h3>
      <div class="segments" role="radiogroup" aria-labelledby="appearance">
        {kThemes.map(([name, label]) => (
          <label key={name}><input type="radio" name="theme" checked={theme.value === name} onChange={() => (theme.value = name)} /><span>{label}</span></label>
        ))}
      </div>
    </section>
  );
}

function Data() {
  const file = useRef<HTMLInputElement>(null);
  const [sure, setSure] = useState(false);
  const pick = async () => {
    const chosen = file.current?.files?.[0];
    if (chosen) await importFile(chosen);
    if (file.current) file.current.value = "";
  };
  const clear = () => {
    if (sure) void removeAll();
    setSure(!sure);
  };
  const count = conversations.value.length;
  return (
    <section>
      <h3>Data</h3>
      <p class="remark">{count === 1 ? "One conversation" : `${whole(count)} conversations`}, in this browser only. An export holds messages, branches, settings and log-probabilities, but no key.</p>
      <div class="button-row">
        <button type="button" class="button" disabled={!current.value} onClick={() => current.value && exportConversations([current.value.id])}>Export this one</button>
        <button type="button" class="button" disabled={count === 0} onClick={() => exportConversations(conversations.value.map((c) => c.id))}>Export all</button>
        <button type="button" class="button" onClick={() => file.current?.click()}>Import</button>
        <input ref={file} id="import-file" class="visually-hidden" type="file" accept=".json,application/json" tabIndex={-1} aria-label="File to import" onChange={pick} />
        <button type="button" class="button is-danger" disabled={count === 0} onClick={clear}>{sure ? "Delete all: are you sure?" : "Delete all"}</button>
      </div>
    </section>
  );
}

export function Settings() {
  const close = () => (panel.value = null);
  return (
    <Dialog class="drawer" label="Settings" open={panel.value === "settings"} onClose={close}>
      <div class="drawer-top"><h2>Settings</h2><IconButton icon="close" label="Close settings" onClick={close} /></div>
      <ThisConversation />
      <Key />
      <Appearance />
      <Data />
      <p class="remark about">fathom {server.value.version ?? ""} <a href="LICENSES.txt" target="_blank" rel="noopener noreferrer">Licences of what this page is made of</a></p>
    </Dialog>
  );
}
