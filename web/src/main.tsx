import { render } from "preact";
import "katex/dist/katex.css";
import "./style/base.css";
import "./style/layout.css";
import "./style/controls.css";
import "./style/messages.css";
import "./style/markdown.css";
import { openLibrary } from "./chat/library";
import { watchServer } from "./chat/server";
import { notice } from "./chat/state";
import { App } from "./ui/app";

// What nobody caught is at least seen.
window.addEventListener("unhandledrejection", ({ reason }) => (notice.value = { text: `Something went wrong: ${String(reason)}` }));

await openLibrary();
watchServer();
render(<App />, document.getElementById("root")!);
