// The messages of the path. Long conversations show a window of their rows, which grows where the reader comes to its end.
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Message } from "../chat/conversation";
import { current, generation, path, target } from "../chat/state";
import { IconButton } from "./controls";
import { Answer, Question } from "./message";

const kStep = 40, kMostRows = 160; // rows
const kNear = 80; // pixels from the end that count as being there

interface Window {
  from: number;
  to: number; // the row after the last one; Infinity follows the end
}

function firstWindow(messages: Message[], shown: string | null): Window {
  const at = messages.findIndex((m) => m.id === shown);
  if (at < 0) return { from: Math.max(0, messages.length - kStep), to: Infinity };
  return { from: Math.max(0, at - kStep / 2), to: at + kStep < messages.length ? at + kStep : Infinity };
}

// Calls `reached` when its mark comes near the visible part.
function Edge({ root, reached }: { root: RefObject<HTMLElement | null>; reached: () => void }) {
  const mark = useRef<HTMLDivElement>(null);
  const call = useRef(reached);
  call.current = reached;
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => entries.some((e) => e.isIntersecting) && call.current(), { root: root.current, rootMargin: "600px 0px" });
    observer.observe(mark.current!);
    return () => observer.disconnect();
  });
  return <div class="edge" ref={mark} />;
}

const topOf = (element: Element | null) => element?.getBoundingClientRect().top ?? 0;

// Another conversation, or another row to show, is another list.
export function MessageList() {
  return <List key={`${current.value?.id ?? ""}/${target.value ?? ""}`} />;
}

function List() {
  const scroller = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const lastTop = useRef(0);
  const kept = useRef<{ id: string; top: number } | null>(null);
  const [away, setAway] = useState(false);
  const messages = path.value;
  const [{ from: wanted, to }, setWindow] = useState(() => firstWindow(messages, target.value));
  const from = Math.min(wanted, Math.max(0, messages.length - 1)), end = Math.min(to, messages.length);
  const atEnd = end === messages.length;

  // The row in sight stays where it is while rows come and go above it.
  const move = (window: Window) => {
    const box = scroller.current!;
    const rows = [...box.querySelectorAll(".message")];
    const row = rows.find((r) => r.getBoundingClientRect().bottom > topOf(box)) ?? rows[0];
    kept.current = row ? { id: row.id, top: topOf(row) } : null;
    setWindow(window);
  };
  useLayoutEffect(() => {
    const row = kept.current && document.getElementById(kept.current.id);
    if (row && kept.current) scroller.current!.scrollTop += topOf(row) - kept.current.top;
    kept.current = null;
  }, [from, to]);

  const toEnd = () => {
    following.current = true;
    setAway(false);
    setWindow({ from: Math.max(0, messages.length - kStep), to: Infinity });
    requestAnimationFrame(() => scroller.current?.scrollTo({ top: scroller.current.scrollHeight }));
  };

  useLayoutEffect(() => {
    const row = target.value ? document.getElementById(`m-${target.value}`) : null;
    following.current = !row;
    row?.scrollIntoView({ block: "start" });
    row?.classList.add("is-target");
  }, []);

  // Follows the text as it grows, until the reader scrolls away.
  useEffect(() => {
    const box = scroller.current!;
    const follow = () => {
      if (following.current) box.scrollTop = box.scrollHeight;
    };
    const observer = new ResizeObserver(follow);
    observer.observe(box);
    observer.observe(box.firstElementChild!);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (generation.value && atEnd) following.current = true;
  }, [generation.value]);

  // Away from the end is who went up; text that grew below is followed at its next change.
  const onScroll = () => {
    const box = scroller.current!;
    const near = box.scrollHeight - box.scrollTop - box.clientHeight < kNear && atEnd;
    if (near) following.current = true;
    else if (box.scrollTop < lastTop.current) following.current = false;
    lastTop.current = box.scrollTop;
    setAway(!near && !following.current);
  };
  return (
    <div class="scroller" ref={scroller} onScroll={onScroll} tabIndex={-1}>
      <div class="messages" role="log" aria-label="Messages" aria-live="off">
        {from > 0 && <Edge root={scroller} reached={() => move({ from: Math.max(0, from - kStep), to: end - from > kMostRows ? end - kStep : to })} />}
        {messages.slice(from, end).map((m) => (m.role === "user" ? <Question key={m.id} message={m} /> : <Answer key={m.id} message={m} />))}
        {!atEnd && <Edge root={scroller} reached={() => move({ from: end - from > kMostRows ? from + kStep : from, to: end + kStep >= messages.length ? Infinity : end + kStep })} />}
      </div>
      {(away || !atEnd) && messages.length > 0 && <div class="to-end"><IconButton icon="down" label="To the end" onClick={toEnd} /></div>}
    </div>
  );
}
