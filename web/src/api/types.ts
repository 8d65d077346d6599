// What the page and the server say to each other. Every field of an answer may be missing: the page then shows less.

export interface Alternative {
  token: string;
  logprob: number; // natural logarithm
}

export interface Token extends Alternative {
  alternatives: Alternative[]; // most likely first; the token itself is usually among them
}

export interface Timings {
  prompt_tokens?: number;
  cached_tokens?: number;
  prompt_seconds?: number;
  generated_tokens?: number;
  generated_seconds?: number;
  kv_cache_tokens?: number;
  kv_cache_capacity?: number;
}

export interface Usage {
  prompt_tokens?: number;
  completion_tokens?: number;
  total_tokens?: number;
  cached_tokens?: number;
}

export interface PromptProgress {
  processed: number;
  total: number;
}

// One chunk of a stream, reduced to what the page uses.
export interface StreamPart {
  text: string;
  tokens: Token[];
  finish?: string;
  usage?: Usage;
  timings?: Timings;
  progress?: PromptProgress;
  model?: string;
}

export interface ServerInfo {
  model?: string;
  context?: number; // tokens
  version?: string;
  defaults: Sampling; // what the server takes where a request says nothing
  answers: boolean; // false: the model has no chat template, and goes on with a text
}

// Empty fields are left to the server.
export interface Sampling {
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  repeat_penalty?: number;
  presence_penalty?: number;
  frequency_penalty?: number;
  seed?: number;
  max_tokens?: number;
  stop?: string[];
  alternatives?: number; // top_logprobs, 0 to 20; absent: no log-probabilities
}

export interface ChatTurn {
  role: "system" | "user" | "assistant";
  content: string;
}
