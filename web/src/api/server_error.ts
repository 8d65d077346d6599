// What can go wrong between the page and the server, and how it is said to a person.

export type ErrorKind =
  | "unreachable" // no answer at all
  | "interrupted" // the stream ended before the answer did
  | "unauthorized" // 401
  | "forbidden" // 403
  | "busy" // 429
  | "unavailable" // 503
  | "too_long" // the conversation does not fit the context
  | "unknown_model" // 404 of a model
  | "refused" // any other 4xx
  | "failed"; // 5xx, or an answer that is not what the API says

export interface ErrorReport {
  kind: ErrorKind;
  detail: string; // the server's own words, or ""
  status?: number;
  retrySeconds?: number; // from Retry-After
}

export class ServerError extends Error {
  constructor(readonly report: ErrorReport) {
    super(report.detail || report.kind);
  }
}

const kWords: Record<ErrorKind, { title: string; advice: string }> = {
  unreachable: { title: "The server cannot be reached.", advice: "Is it still running? Your conversation is kept; try again when it is back." },
  interrupted: { title: "The connection was lost before the answer was complete.", advice: "What had arrived is kept." },
  unauthorized: { title: "The server asks for an API key.", advice: "Enter one that it accepts, then try again." },
  forbidden: { title: "The server does not allow this page to ask.", advice: "Open the page under an address that the server was told to answer to." },
  busy: { title: "The server is busy: its queue is full.", advice: "Try again in a moment." },
  unavailable: { title: "The server is not ready.", advice: "It is loading a model or shutting down; try again in a moment." },
  too_long: { title: "The conversation no longer fits the model's context.", advice: "Edit an earlier message, shorten it, or begin a new conversation." },
  unknown_model: { title: "The server does not have this model.", advice: "Choose another one at the top of the page." },
  refused: { title: "The server refused the request.", advice: "The settings of this conversation may hold a value it does not take." },
  failed: { title: "The server could not answer.", advice: "Try again; its log says more." },
};

export function errorWords(report: ErrorReport): { title: string; advice: string } {
  return kWords[report.kind];
}

function kindOf(status: number, code: string): ErrorKind {
  if (code === "context_length_exceeded") return "too_long";
  if (code === "model_not_found") return "unknown_model";
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 404) return "unknown_model";
  if (status === 429) return "busy";
  if (status === 503) return "unavailable";
  return status >= 400 && status < 500 ? "refused" : "failed";
}

// {"error": {"message", "type", "param", "code"}}, as OpenAI's API has it; `error` may also be a plain string.
export function errorFromBody(status: number, body: unknown): ServerError {
  const error = (body as { error?: unknown } | null)?.error;
  const fields = typeof error === "object" && error !== null ? (error as Record<string, unknown>) : {};
  const message = typeof error === "string" ? error : typeof fields.message === "string" ? fields.message : "";
  const param = typeof fields.param === "string" ? ` (${fields.param})` : "";
  const code = typeof fields.code === "string" ? fields.code : "";
  const numericCode = typeof fields.code === "number" ? fields.code : status;
  return new ServerError({ kind: kindOf(numericCode, code), detail: message + param, status: status || undefined });
}

// Retry-After: a number of seconds, or a date.
export function retrySeconds(header: string | null, now: number): number | undefined {
  if (!header) return undefined;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) && seconds >= 0 ? Math.ceil(Math.min(seconds, 3600)) : undefined;
}
