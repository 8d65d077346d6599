// Keys that work anywhere on the page, and the list of them.
import { lastAnswer, regenerate, stop } from "../chat/actions";
import { newConversation } from "../chat/library";
import { drawerOpen, generation, panel } from "../chat/state";
import { sidebarOpen } from "../store/preferences";
import { Dialog, IconButton } from "./controls";
import { isComposing } from "./text_area";

const kList: [keys: string[], what: string][] = [
  [["Enter"], "Send the message"],
  [["Shift", "Enter"], "Begin a new line"],
  [["Esc"], "Stop the answer"],
  [["\u2191"], "In an empty field: change the last message"],
  [["Ctrl", "Shift", "O"], "New conversation"],
  [["Ctrl", "Shift", "Enter"], "Another answer"],
  [["Ctrl", "K"], "Search conversations"],
  [["Ctrl", "B"], "Show or hide conversations"],
  [["Ctrl", ","], "Settings"],
  [["Ctrl", "/"], "This list"],
];

const isNarrow = () => matchMedia("(max-width: 760px)").matches;

function showSidebar(shown: boolean): void {
  if (isNarrow()) drawerOpen.value = shown;
  else sidebarOpen.value = shown;
}

function searchConversations(): void {
  showSidebar(true);
  const field = document.getElementById("search");
  field?.focus(); // what is typed next belongs to it
  if (document.activeElement !== field) requestAnimationFrame(() => field?.focus()); // the list was hidden
}

function another(): void {
  const answer = lastAnswer();
  if (answer) void regenerate(answer);
}

const kActions: Record<string, () => void> = {
  "shift+o": newConversation,
  "shift+enter": another,
  k: searchConversations,
  b: () => showSidebar(!(isNarrow() ? drawerOpen.value : sidebarOpen.value)),
  ",": () => (panel.value = "settings"),
  "/": () => (panel.value = "shortcuts"),
};

// On a Mac, Command does what Control does elsewhere.
export function onKeyDown(event: KeyboardEvent): void {
  if (isComposing(event) || event.defaultPrevented) return;
  if (event.key === "Escape" && panel.value === null) {
    if (drawerOpen.value) drawerOpen.value = false;
    else if (generation.value) stop();
    return;
  }
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
  const action = kActions[(event.shiftKey ? "shift+" : "") + event.key.toLowerCase()];
  if (!action || panel.value !== null) return;
  event.preventDefault();
  action();
}

export function Shortcuts() {
  const close = () => (panel.value = null);
  return (
    <Dialog class="card-dialog" label="Keyboard shortcuts" open={panel.value === "shortcuts"} onClose={close}>
      <div class="drawer-top"><h2>Keyboard</h2><IconButton icon="close" label="Close" onClick={close} /></div>
      <dl class="shortcuts">
        {kList.map(([keys, what]) => (
          <div key={what}><dt>{what}</dt><dd>{keys.map((key) => <kbd key={key}>{key}</kbd>)}</dd></div>
        ))}
      </dl>
      <p class="remark">On a Mac, Command stands for Ctrl.</p>
    </Dialog>
  );
}
