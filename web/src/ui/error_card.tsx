// What went wrong, in words, and what can be done.
import { useEffect, useState } from "preact/hooks";
import { errorWords, type ErrorReport } from "../api/server_error";
import { focusKey, panel } from "../chat/state";
import { Icon } from "./icons";

// Seconds that are left of a wait that the server asked for.
function useCountdown(report: ErrorReport): number {
  const [left, setLeft] = useState(report.retrySeconds ?? 0);
  useEffect(() => {
    const end = Date.now() + 1000 * (report.retrySeconds ?? 0);
    const tick = () => setLeft(Math.max(0, Math.ceil((end - Date.now()) / 1000)));
    tick();
    const timer = setInterval(tick, 500);
    return () => clearInterval(timer);
  }, [report]);
  return left;
}

export function askForKey(): void {
  panel.value = "settings";
  focusKey.value += 1;
}

export function ErrorCard({ report, onRetry }: { report: ErrorReport; onRetry?: () => void }) {
  const { title, advice } = errorWords(report);
  const left = useCountdown(report);
  return (
    <div class="error-card" role="alert">
      <Icon name="alert" />
      <div>
        <p class="error-title">{title}</p>
        <p>{advice}</p>
        {report.detail && <p class="error-detail" dir="auto">{report.detail}</p>}
        <div class="error-actions">
          {report.kind === "unauthorized" && <button type="button" class="button" onClick={askForKey}>Enter a key</button>}
          {onRetry && <button type="button" class="button" onClick={onRetry}>{left > 0 ? `Try again (the server asks for ${left} s)` : "Try again"}</button>}
        </div>
      </div>
    </div>
  );
}
