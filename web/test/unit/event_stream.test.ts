import { describe, expect, it } from "vitest";
import { EventStreamReader, type StreamEvent } from "../../src/api/event_stream";

const bytes = (text: string) => new TextEncoder().encode(text);

function read(parts: Uint8Array[]): StreamEvent[] {
  const reader = new EventStreamReader();
  return parts.flatMap((part) => reader.push(part));
}

const kStream =
  "\ufeff: keep-alive\n\ndata: {\"a\":1}\n\n: c\r\n\r\ndata:no space\r\n\r\ndata: two\rdata: lines\r\r" +
  "event: error\ndata: \u00e4\u{1f600}\u0645\n\nid: 7\nretry: 5\n\ndata\n\ndata:  kept space\n\nunknown: x\ndata: last\n\ndata: never ended";

const kEvents: StreamEvent[] = [
  { event: "message", data: '{"a":1}' },
  { event: "message", data: "no space" },
  { event: "message", data: "two\nlines" },
  { event: "error", data: "\u00e4\u{1f600}\u0645" },
  { event: "message", data: "" },
  { event: "message", data: " kept space" },
  { event: "message", data: "last" },
];

describe("EventStreamReader", () => {
  const whole = bytes(kStream);

  it("reads comments, fields, and all three line endings", () => {
    expect(read([whole])).toEqual(kEvents);
  });

  it("reads the same however the bytes are split in two", () => {
    for (let i = 0; i <= whole.length; ++i) expect(read([whole.slice(0, i), whole.slice(i)])).toEqual(kEvents);
  });

  it("reads the same byte by byte", () => {
    expect(read(Array.from(whole, (byte) => Uint8Array.of(byte)))).toEqual(kEvents);
  });

  it("reads the same in three pieces at every place of a line end", () => {
    const text = bytes("data: a\r\n\r\ndata: b\r\n\r\n");
    for (let i = 0; i <= text.length; ++i) {
      for (let j = i; j <= text.length; ++j) {
        expect(read([text.slice(0, i), text.slice(i, j), text.slice(j)]).map((e) => e.data)).toEqual(["a", "b"]);
      }
    }
  });

  it("gives an event as soon as its empty line is there", () => {
    const reader = new EventStreamReader();
    expect(reader.push(bytes("data: a\n"))).toEqual([]);
    expect(reader.push(bytes("\n"))).toHaveLength(1);
    expect(reader.push(bytes("data: a\r\n\r"))).toHaveLength(1); // the LF that may follow belongs to this line end
    expect(reader.push(bytes("\n"))).toEqual([]);
  });

  it("replaces invalid bytes and goes on", () => {
    expect(read([Uint8Array.of(...bytes("data: "), 0xff, 0xc3, ...bytes("x\n\ndata: y\n\n"))]).map((e) => e.data)).toEqual(["\ufffd\ufffdx", "y"]);
  });

  it("refuses an event that never ends", () => {
    const reader = new EventStreamReader();
    const piece = bytes("x".repeat(1 << 20));
    reader.push(bytes("data: "));
    expect(() => {
      for (let i = 0; i < 40; ++i) reader.push(piece);
    }).toThrow("32 MiB");
  });
});
