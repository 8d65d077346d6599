// Whether the server is there, and what it offers.
import { fetchModels, fetchServerInfo } from "../api/client";
import { ServerError } from "../api/server_error";
import { apiKey } from "../store/preferences";
import { connection, connectionError, models, server } from "./state";

const kFirstWait = 2000, kLongestWait = 30_000; // milliseconds

let wait = kFirstWait;
let timer: ReturnType<typeof setTimeout> | undefined;

// Asks for models and properties. As long as the server cannot be reached, it asks again, ever more rarely, while the page is visible.
export async function greet(): Promise<void> {
  clearTimeout(timer);
  try {
    models.value = await fetchModels(apiKey.value);
    server.value = await fetchServerInfo(apiKey.value).catch(() => server.value);
    connection.value = "good";
    connectionError.value = null;
    wait = kFirstWait;
  } catch (error) {
    noteFailure(error);
  }
}

export function noteFailure(error: unknown): void {
  const report = error instanceof ServerError ? error.report : { kind: "failed" as const, detail: String(error) };
  connectionError.value = report;
  connection.value = report.kind === "unreachable" || report.kind === "unavailable" ? "lost" : "unknown";
  if (connection.value !== "lost") return;
  clearTimeout(timer);
  timer = setTimeout(() => void (document.hidden ? undefined : greet()), wait);
  wait = Math.min(2 * wait, kLongestWait);
}

export function watchServer(): void {
  void greet();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && connection.value === "lost") void greet();
  });
  window.addEventListener("online", () => void greet());
}
