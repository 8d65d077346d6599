// The list of conversations: search, open, rename, delete.
import { useRef, useState } from "preact/hooks";
import { newConversation, openConversation, remove, rename, search } from "../chat/library";
import { conversations, current, drawerOpen, generations, hits, panel, persistent, searchWords } from "../chat/state";
import type { Conversation } from "../chat/conversation";
import { sidebarOpen } from "../store/preferences";
import { IconButton } from "./controls";
import { period } from "./format";
import { Icon, Mark } from "./icons";

const kShownAtOnce = 200; // rows; a browser may hold thousands of conversations

function TitleField({ conversation, onDone }: { conversation: Conversation; onDone: () => void }) {
  const end = (event: Event) => {
    void rename(conversation, (event.currentTarget as HTMLInputElement).value);
    onDone();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    if (event.key === "Escape") onDone();
    if (event.key === "Enter") end(event);
    if (event.key === "Escape" || event.key === "Enter") event.stopPropagation();
  };
  return <input class="title-field" aria-label="Name of the conversation" dir="auto" value={conversation.title} ref={(e) => e?.select()} onKeyDown={onKeyDown} onBlur={end} />;
}

function Row({ conversation, excerpt, message }: { conversation: Conversation; excerpt?: string; message?: string }) {
  const [naming, setNaming] = useState(false);
  const { id, title } = conversation;
  if (naming) return <li class="row"><TitleField conversation={conversation} onDone={() => setNaming(false)} /></li>;
  return (
    <li class="row">
      <button type="button" class="row-open" aria-current={current.value?.id === id ? "page" : undefined} onClick={() => openConversation(id, message)}>
        <span class="row-title" dir="auto">{title}</span>
        {generations.value.has(id) && <span class="row-running" role="img" aria-label="An answer is being written" />}
        {excerpt && <span class="row-excerpt" dir="auto">{excerpt}</span>}
      </button>
      <span class="row-actions">
        <IconButton icon="pencil" label={`Rename \u201c${title}\u201d`} onClick={() => setNaming(true)} />
        <IconButton icon="trash" label={`Delete \u201c${title}\u201d`} onClick={() => remove(conversation)} />
      </span>
    </li>
  );
}

function Found() {
  const words = searchWords.value.trim().toLowerCase();
  const byId = new Map((hits.value ?? []).map((hit) => [hit.conversation, hit]));
  const found = conversations.value.filter((c) => byId.has(c.id) || c.title.toLowerCase().includes(words)).slice(0, kShownAtOnce);
  if (found.length === 0) return <p class="list-note">Nothing found.</p>;
  return (
    <ul class="list">
      {found.map((c) => <Row key={c.id} conversation={c} excerpt={byId.get(c.id)?.excerpt} message={byId.get(c.id)?.message} />)}
    </ul>
  );
}

function ByPeriod() {
  const [limit, setLimit] = useState(kShownAtOnce);
  const groups = Map.groupBy(conversations.value.slice(0, limit), (c) => period(c.updated, Date.now()));
  if (conversations.value.length === 0) return <p class="list-note">What you talk about will be listed here. It stays in this browser.</p>;
  return (
    <>
      {[...groups].map(([name, members]) => (
        <section key={name}>
          <h2 class="list-heading">{name}</h2>
          <ul class="list">{members.map((c) => <Row key={c.id} conversation={c} />)}</ul>
        </section>
      ))}
      {conversations.value.length > limit && <button type="button" class="plain-button" onClick={() => setLimit(limit + kShownAtOnce)}>Show more</button>}
    </>
  );
}

function SearchField() {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const onInput = (event: Event) => {
    const words = (event.currentTarget as HTMLInputElement).value;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => void search(words), 150);
  };
  return (
    <label class="search">
      <Icon name="search" />
      <input id="search" type="search" placeholder="Search" aria-label="Search conversations" dir="auto" onInput={onInput} />
    </label>
  );
}

export function Sidebar({ narrow }: { narrow: boolean }) {
  const open = narrow ? drawerOpen.value : sidebarOpen.value;
  const close = () => (narrow ? (drawerOpen.value = false) : (sidebarOpen.value = false));
  return (
    <nav class={`sidebar ${open ? "is-open" : ""}`} aria-label="Conversations" inert={!open}>
      <div class="sidebar-top">
        <span class="brand"><Mark />fathom</span>
        <IconButton icon={narrow ? "close" : "panel"} label="Hide conversations" onClick={close} />
      </div>
      <button type="button" class="new-button" onClick={newConversation}><Icon name="plus" />New conversation</button>
      <SearchField />
      <div class="sidebar-list">{hits.value ? <Found /> : <ByPeriod />}</div>
      <div class="sidebar-foot">
        {!persistent.value && <p class="list-note">This browser keeps nothing: conversations end with this page.</p>}
        <button type="button" class="plain-button" onClick={() => (panel.value = "settings")}><Icon name="gear" />Settings</button>
        <IconButton icon="keyboard" label="Keyboard shortcuts" onClick={() => (panel.value = "shortcuts")} />
      </div>
    </nav>
  );
}

