// Line icons on a grid of 24, drawn for this page. They are decoration: the button around one has the name.
const kPaths = {
  plus: "M12 5v14M5 12h14",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM20 20l-4-4",
  pencil: "M4 20h4L19 9l-4-4L4 16v4ZM13.5 6.5l4 4",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.3 11v5M13.7 11v5",
  gear: "M4 8h8M18 8h2M4 16h2M12 16h8M15 10.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM9 18.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z",
  panel: "M4.5 5h15v14h-15ZM9.5 5v14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7.5 7.5h9v9h-9Z",
  copy: "M9 9h11v11H9ZM5 15H4V4h11v1",
  check: "M5 12.5l4.5 4.5L19 7.5",
  retry: "M19 12a7 7 0 1 1-2.2-5.1M19 4.5V8h-3.5",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  close: "M6 6l12 12M18 6L6 18",
  keyboard: "M3.5 7h17v10h-17ZM7 10.5h.01M10.3 10.5h.01M13.7 10.5h.01M17 10.5h.01M8 13.8h8",
  code: "M9 7l-5 5 5 5M15 7l5 5-5 5",
  tokens: "M4 7h5v4H4ZM11 7h9v4h-9ZM4 13h9v4H4ZM15 13h5v4h-5Z",
  alert: "M12 8v5M12 16.2h.01M12 3.8l9 16H3Z",
} as const;

export type IconName = keyof typeof kPaths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={kPaths[name]} />
    </svg>
  );
}

// A weight on a line going down: the sounding lead that the project is named for.
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <path class="mark-wave" d="M3 9c3.2-2.6 5.5-2.6 8.7 0s5.5 2.6 8.7 0 5.400-2.600 8.600 0" />
      <path class="mark-line" d="M16 11v9" />
      <path class="mark-lead" d="M16 19.500l3.600 5.200a3.600 3.600 0 1 1-7.200 0Z" />
    </svg>
  );
}
