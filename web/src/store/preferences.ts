// Small settings in localStorage. A browser that refuses it (some private windows) just forgets them.
import { signal, type Signal } from "@preact/signals";
import type { Sampling } from "../api/types";

export type Theme = "system" | "light" | "dark";

export interface Defaults {
  system: string;
  sampling: Sampling;
  model: string;
}

const kPrefix = "fathom.";

function read<T>(name: string, otherwise: T): T {
  try {
    const stored = localStorage.getItem(kPrefix + name);
    return stored === null ? otherwise : (JSON.parse(stored) as T);
  } catch {
    return otherwise;
  }
}

function write(name: string, value: unknown): void {
  try {
    if (value === undefined) localStorage.removeItem(kPrefix + name);
    else localStorage.setItem(kPrefix + name, JSON.stringify(value));
  } catch {
    // The setting then lasts as long as the page.
  }
}

function stored<T>(name: string, otherwise: T): Signal<T> {
  const value = signal(read(name, otherwise));
  let first = true;
  value.subscribe((now) => {
    if (!first) write(name, now);
    first = false;
  });
  return value;
}

export const theme = stored<Theme>("theme", "system");
export const sidebarOpen = stored<boolean>("sidebar", true);
export const defaults = stored<Defaults>("defaults", { system: "", sampling: { alternatives: 5 }, model: "" });

// The key stays in memory unless the user asks for more.
const kept = read<unknown>("key", undefined);
export const apiKey = signal(typeof kept === "string" ? kept : "");
export const keepKey = signal(typeof kept === "string");

export function setApiKey(key: string, keep: boolean): void {
  apiKey.value = key.trim();
  keepKey.value = keep;
  write("key", keep && apiKey.value ? apiKey.value : undefined);
}
