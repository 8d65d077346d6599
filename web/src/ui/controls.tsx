// Small pieces that several parts of the page use.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { copyText } from "../text/clipboard";
import { Icon, type IconName } from "./icons";

interface IconButtonProps {
  icon: IconName;
  label: string;
  onClick: () => void;
  disabled?: boolean;
  pressed?: boolean;
  class?: string;
}

export function IconButton({ icon, label, onClick, disabled, pressed, class: extra }: IconButtonProps) {
  return (
    <button type="button" class={`icon-button ${extra ?? ""}`} aria-label={label} title={label} aria-pressed={pressed} disabled={disabled} onClick={onClick}>
      <Icon name={icon} />
    </button>
  );
}

const kDoneTime = 1500; // milliseconds that the tick stays

export function CopyButton({ text, label }: { text: () => string; label: string }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    const timer = done ? setTimeout(() => setDone(false), kDoneTime) : undefined;
    return () => clearTimeout(timer);
  }, [done]);
  return <IconButton icon={done ? "check" : "copy"} label={done ? "Copied" : label} onClick={async () => setDone(await copyText(text()))} />;
}

interface DialogProps {
  open: boolean;
  label: string;
  class: string;
  onClose: () => void;
  children: ComponentChildren;
}

// The browser's own modal dialog: it keeps the focus inside, closes with Escape, and gives the focus back.
export function Dialog({ open, label, class: name, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    if (open && !element?.open) element?.showModal();
    if (!open && element?.open) element.close();
  }, [open]);
  const onBackdrop = (event: MouseEvent) => {
    if (event.target === dialog.current) onClose();
  };
  return (
    <dialog ref={dialog} class={name} aria-label={label} onCancel={onClose} onClose={onClose} onClick={onBackdrop}>
      {open && children}
    </dialog>
  );
}
