// Numbers and times as people read them.
const kWhole = new Intl.NumberFormat("en");

export const whole = (n: number) => kWhole.format(Math.round(n));
export const seconds = (s: number) => (s < 9.95 ? `${s.toFixed(s < 0.995 ? 2 : 1)} s` : `${Math.round(s)} s`);
export const perSecond = (r: number) => `${r < 100 ? r.toFixed(1) : Math.round(r)} tokens/s`;
export const percent = (p: number) => (p >= 0.9995 ? "100 %" : p < 0.0001 ? "<0.01 %" : `${(100 * p).toFixed(p < 0.1 ? 2 : 1)} %`);

const kDay = 86_400_000; // milliseconds

// The heading under which a conversation is listed.
export function period(time: number, now: number): string {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (time >= midnight) return "Today";
  if (time >= midnight - kDay) return "Yesterday";
  if (time >= midnight - 6 * kDay) return "This week";
  return new Date(time).toLocaleDateString("en", { month: "long", year: "numeric" });
}
