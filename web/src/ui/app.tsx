// The page: conversations at the side, messages and the composer in the middle.
import { useEffect, useState } from "preact/hooks";
import { modelOf } from "../chat/actions";
import { greet } from "../chat/server";
import { announcement, connection, connectionError, current, drawerOpen, notice, path, server } from "../chat/state";
import { sidebarOpen, theme } from "../store/preferences";
import { Composer } from "./composer";
import { IconButton } from "./controls";
import { ErrorCard } from "./error_card";
import { whole } from "./format";
import { Header } from "./header";
import { Mark } from "./icons";
import { MessageList } from "./message_list";
import { Settings } from "./settings";
import { onKeyDown, Shortcuts } from "./shortcuts";
import { Sidebar } from "./sidebar";

function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia("(max-width: 760px)").matches);
  useEffect(() => {
    const query = matchMedia("(max-width: 760px)");
    const change = () => setNarrow(query.matches);
    query.addEventListener("change", change);
    return () => query.removeEventListener("change", change);
  }, []);
  return narrow;
}

function Welcome() {
  const model = modelOf(current.value);
  const { context } = server.value;
  const facts = [model, context && `${whole(context)} tokens of context`].filter(Boolean).join(" \u00b7 ");
  return (
    <div class="welcome">
      <Mark />
      <p class="welcome-title">What is on your mind?</p>
      {facts && <p class="welcome-facts">{facts}</p>}
      {!server.value.answers && <p class="welcome-facts">This model was not trained to converse: it goes on with what you write.</p>}
      {connectionError.value && connection.value !== "good" && <ErrorCard report={connectionError.value} onRetry={() => void greet()} />}
    </div>
  );
}

const kNoticeTime = 8000; // milliseconds

function Notice() {
  const shown = notice.value;
  useEffect(() => {
    const timer = shown ? setTimeout(() => (notice.value = null), kNoticeTime) : undefined;
    return () => clearTimeout(timer);
  }, [shown]);
  const act = () => {
    shown?.action?.run();
    notice.value = null;
  };
  return (
    <div class="notice-place" role="status">
      {shown && (
        <div class="notice">
          <span dir="auto">{shown.text}</span>
          {shown.action && <button type="button" class="plain-button" onClick={act}>{shown.action.label}</button>}
          <IconButton icon="close" label="Dismiss" onClick={() => (notice.value = null)} />
        </div>
      )}
    </div>
  );
}

export function App() {
  const narrow = useNarrow();
  useEffect(() => {
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
  useEffect(() => {
    document.documentElement.dataset.theme = theme.value;
  }, [theme.value]);
  useEffect(() => {
    document.title = current.value ? `${current.value.title} \u2013 fathom` : "fathom";
  }, [current.value?.title]);
  const drawer = narrow && drawerOpen.value;
  return (
    <div class={`app ${narrow ? "is-narrow" : ""} ${sidebarOpen.value ? "" : "is-wide"}`}>
      <Sidebar narrow={narrow} />
      {drawer && <div class="scrim" onClick={() => (drawerOpen.value = false)} />}
      <main class="main" inert={drawer}>
        <Header narrow={narrow} />
        {path.value.length === 0 ? <Welcome /> : <MessageList />}
        <Composer />
      </main>
      <Settings />
      <Shortcuts />
      <Notice />
      <div class="visually-hidden" role="status" aria-live="polite">{announcement.value}</div>
    </div>
  );
}
