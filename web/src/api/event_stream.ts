// Reads text/event-stream as https://html.spec.whatwg.org/multipage/server-sent-events.html says: lines end with CR, LF or CRLF, an empty
// line ends an event, lines that begin with a colon are comments. EventSource itself cannot send a POST or a key, so the page reads the body.

const kLongestEvent = 32 * 1024 * 1024; // characters; an event that never ends must not fill the memory

export interface StreamEvent {
  event: string; // "message" when the stream names none
  data: string;
}

export class EventStreamReader {
  private decoder = new TextDecoder("utf-8"); // drops a byte order mark, replaces invalid bytes
  private line = "";
  private afterCarriageReturn = false;
  private data: string[] = [];
  private size = 0;
  private event = "";

  // Takes the next bytes, split anywhere, and returns the events that they complete.
  push(bytes: Uint8Array): StreamEvent[] {
    return this.take(this.decoder.decode(bytes, { stream: true }));
  }

  private take(text: string): StreamEvent[] {
    const events: StreamEvent[] = [];
    let begin = 0;
    for (let i = 0; i < text.length; ++i) {
      const c = text.charCodeAt(i);
      if (c !== 10 && c !== 13) {
        this.afterCarriageReturn = false;
        continue;
      }
      const secondOfPair = c === 10 && this.afterCarriageReturn;
      this.afterCarriageReturn = c === 13;
      if (!secondOfPair) this.endLine(this.line + text.slice(begin, i), events);
      this.line = "";
      begin = i + 1;
    }
    this.line += text.slice(begin);
    if (this.line.length + this.size > kLongestEvent) throw new Error("The server sent an event of more than 32 MiB.");
    return events;
  }

  private endLine(line: string, events: StreamEvent[]): void {
    if (line === "") return this.endEvent(events);
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") this.event = value;
    if (field === "data") {
      this.data.push(value);
      this.size += value.length;
    }
  }

  private endEvent(events: StreamEvent[]): void {
    if (this.data.length > 0) events.push({ event: this.event || "message", data: this.data.join("\n") });
    this.data = [];
    this.size = 0;
    this.event = "";
  }
}
