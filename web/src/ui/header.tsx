// The line at the top: which conversation, which model, and whether the server is there.
import { changeSettings, modelOf } from "../chat/actions";
import { greet } from "../chat/server";
import { connection, connectionError, current, drawerOpen, models, panel } from "../chat/state";
import { sidebarOpen } from "../store/preferences";
import { IconButton } from "./controls";
import { askForKey } from "./error_card";

function ModelPicker() {
  const model = modelOf(current.value);
  if (models.value.length < 2) return model ? <span class="model-name" title="Model">{model}</span> : null;
  return (
    <select class="model-picker" aria-label="Model" value={model} onChange={(event) => changeSettings({ model: event.currentTarget.value })}>
      {models.value.map((id) => <option key={id} value={id}>{id}</option>)}
    </select>
  );
}

function Connection() {
  if (connection.value === "lost") {
    return <button type="button" class="status is-lost" onClick={() => void greet()} title="Try now">{connectionError.value?.kind === "unavailable" ? "Server not ready" : "Server not reached"}</button>;
  }
  if (connectionError.value?.kind === "unauthorized") return <button type="button" class="status is-lost" onClick={askForKey}>API key needed</button>;
  return null;
}

export function Header({ narrow }: { narrow: boolean }) {
  const hidden = narrow || !sidebarOpen.value;
  const show = () => (narrow ? (drawerOpen.value = true) : (sidebarOpen.value = true));
  return (
    <header class="header">
      {hidden && <IconButton icon="panel" label="Show conversations" onClick={show} />}
      <h1 class="header-title" dir="auto">{current.value?.title ?? "New conversation"}</h1>
      <Connection />
      <ModelPicker />
      <IconButton icon="gear" label="Settings" onClick={() => (panel.value = "settings")} />
    </header>
  );
}
