import { render } from "preact";
import "katex/dist/katex.css";
import "./style/base.css";
import "./style/layout.css";
import "./style/controls.css";
import "./style/messages.css";
import "./style/markdown.css";
import { openLibrary } from "./chat/library";
import { watchServer } from "./chat/server";
import { App } from "./ui/app";

await openLibrary();
watchServer();
render(<App />, document.getElementById("root")!);
