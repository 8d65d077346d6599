#!/usr/bin/env python3
"""fathom chat at a real terminal (a pty): lines, pastes, commands, signals; and control characters of a model, which no
terminal may obey.

    chat_terminal.py FATHOM
"""
import errno
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

FATHOM = os.path.abspath(sys.argv[1])
PASTE_ON, PASTE_OFF = b"\x1b[?2004h", b"\x1b[?2004l"
TEMPLATE = ("{{ bos_token }}{% for m in messages %}{{ m.role[0] }}:{{ m.content }}"
            "{{ eos_token if m.role == 'assistant' else '|' }}{% endfor %}{% if add_generation_prompt %}a:{% endif %}")
PATIENCE = 60  # seconds; a sanitised program on a busy machine is slow


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, command, columns=80, **environment):
        self.master, slave = pty.openpty()
        self.resize(columns)
        self.modes = termios.tcgetattr(self.master)
        env = {k: v for k, v in {**os.environ, "TERM": "xterm", **environment}.items() if v is not None}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.output = b""

    def resize(self, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def send(self, text):
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def wait_for(self, pattern, start=None):
        """Reads until the pattern stands behind `start`; the position behind it."""
        start = len(self.output) if start is None else start
        deadline = time.monotonic() + PATIENCE
        while True:
            found = re.compile(pattern, re.DOTALL).search(self.output, start)
            if found:
                return found.end()
            if time.monotonic() > deadline or not self.read_some():
                raise AssertionError(f"{pattern} did not come; there is {self.output[start:]!r}")

    def read_some(self):
        if not select.select([self.master], [], [], 0.2)[0]:
            return True
        try:
            more = os.read(self.master, 65536)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            return False
        self.output += more
        return bool(more)

    def end(self):
        """Waits for the end; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.read_some():
            if self.process.poll() is not None and not select.select([self.master], [], [], 0.1)[0]:
                break
        return self.process.wait(PATIENCE)

    def is_as_before(self):
        return termios.tcgetattr(self.master) == self.modes


class Chat(Terminal):
    def __init__(self, most_tokens=4, **environment):
        command = [FATHOM, "chat", "-m", MODEL, "-t", "1", "-n", str(most_tokens), "--temperature", "0", "-q"]
        super().__init__(command, **environment)
        self.at = self.wait_for(rb">>> ", 0)

    def line(self, text, answer=rb">>> "):
        """Sends a line and waits for the next prompt, behind its echo."""
        self.send(text + "\r")
        begin = self.wait_for(rb"\n", self.at)
        self.at = self.wait_for(answer, begin)
        return self.output[begin:self.at].decode(errors="replace")

    def messages(self):
        path = os.path.join(FOLDER, f"saved-{len(os.listdir(FOLDER))}.json")
        self.line(f"/save {path}", rb"messages in .*>>> ")
        return json.loads(pathlib.Path(path).read_text())["messages"]

    def quit(self):
        self.send("/exit\r")
        assert self.end() == 0
        assert self.is_as_before()


def check(claim):
    def run(test):
        try:
            test()
        except (AssertionError, subprocess.TimeoutExpired, OSError) as e:
            sys.exit(f"chat_terminal.py: {claim}: {type(e).__name__} {e}")
        print("ok", claim)
    return run


FOLDER = tempfile.mkdtemp()
MODEL = os.path.join(FOLDER, "m")
os.environ.update(XDG_STATE_HOME=os.path.join(FOLDER, "state"), HOME=FOLDER, FATHOM_TUNE="off")
subprocess.run([FATHOM, "synth", "--shape", "tiny", "--type", "f32", "--seed", "1", "-q", MODEL], check=True)
pathlib.Path(MODEL, "chat_template.jinja").write_text(TEMPLATE)


@check("text that is pasted is one message, line ends and tabs included")
def _():
    chat = Chat()
    assert PASTE_ON in chat.output
    chat.send(b"\x1b[200~one\r\ttwo\xc3\xa9\r\rthree\x1b[201~")
    chat.line(" end")
    messages = chat.messages()
    assert messages[0] == {"role": "user", "content": "one\n\ttwo\u00e9\n\nthree end"}, messages
    assert len(messages) == 2
    chat.quit()
    assert chat.output.rfind(PASTE_OFF) > chat.output.rfind(PASTE_ON)


@check('what stands between two """ is one message, and no command')
def _():
    chat = Chat()
    chat.line('"""', rb"\.\.\. ")
    chat.line("/clear\ttab", rb"\.\.\. ")
    chat.line('last"""')
    chat.line('"""one line"""')
    contents = [m["content"] for m in chat.messages() if m["role"] == "user"]
    assert contents == ["/clear\ttab\nlast", "one line"], contents
    chat.quit()


@check("commands: /set, /system, /regenerate, /save, /load, /clear, /help")
def _():
    chat = Chat()
    assert "no setting 'temprature'" in chat.line("/set temprature 1")
    assert "/set temperature is '-3'" in chat.line("/set temperature -3")
    assert "(temperature 0.7)" in chat.line("/set temperature 0.7")
    assert "(min-p 0.1)" in chat.line("/set parameter min_p 0.1")  # as Ollama has it
    chat.line("/set min-p 0")
    assert re.search(r"temperature +0\.7", chat.line("/set"))
    chat.line("/set top_p=0.5")
    assert re.search(r"top-p +0\.5", chat.line("/set"))
    assert "no message to answer" in chat.line("/regenerate")
    assert "(no system message)" in chat.line("/system")
    assert "(the system message is set)" in chat.line("/set system Be wordy.")
    assert "(the system message is set)" in chat.line("/system Be terse.")
    chat.line("/set temperature 5")
    chat.line("/set max-tokens 12")
    chat.line("hello")
    first = chat.messages()
    chat.line("/regenerate")
    second = chat.messages()
    assert first[:2] == second[:2] == [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "hello"}]
    assert len(second) == 3 and first[2] != second[2]
    path = os.path.join(FOLDER, "a name.json")
    chat.line(f"/save {path}", rb"messages in .*>>> ")
    assert "(a new conversation)" in chat.line("/clear")
    assert chat.messages() == first[:1]
    assert "3 messages" in chat.line(f"/load {path}")
    assert chat.messages() == second
    assert "nowhere.json" in chat.line("/load /nowhere.json")
    assert "needs a file" in chat.line("/load")
    assert "/regenerate" in chat.line("/help")
    chat.quit()


@check("a line that is edited comes again from the history")
def _():
    chat = Chat()
    chat.line("first one")
    chat.quit()
    again = Chat()
    again.line("\x1b[A\x1b[A!")  # behind /exit
    assert again.messages()[0]["content"] == "first one!"
    again.quit()


def ended_by(number):
    @check(f"{signal.Signals(number).name} at the prompt ends the chat and leaves the terminal as it was")
    def _():
        chat = Chat()
        chat.send("half a li")
        chat.wait_for(rb"half a li", chat.at)
        assert not chat.is_as_before()
        chat.process.send_signal(number)
        assert chat.end() == -number
        assert chat.is_as_before()
        assert chat.output.rfind(PASTE_OFF) > chat.output.rfind(PASTE_ON)


for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    ended_by(one)


@check("Ctrl-C drops the line, twice ends, and what was written of an answer stays")
def _():
    chat = Chat(most_tokens=0)
    chat.send("dropped\x03")
    chat.at = chat.wait_for(rb"Ctrl-C again.*>>> ", chat.at)
    chat.send("hello\r")
    chat.wait_for(rb"hello.*" + re.escape(PASTE_OFF) + rb"[\r\n]*[^\r\n]", chat.at)  # the answer has begun
    chat.send("\x03")
    chat.at = chat.wait_for(rb"\(stopped\).*>>> ", chat.at)
    messages = chat.messages()
    assert [m["role"] for m in messages] == ["user", "assistant"] and messages[1]["content"], messages
    chat.send("\x03")
    chat.at = chat.wait_for(rb"Ctrl-C again.*>>> ", chat.at)
    chat.send("\x03")
    assert chat.end() == 0
    assert chat.is_as_before()


@check("Ctrl-D ends")
def _():
    chat = Chat()
    chat.send("\x04")
    assert chat.end() == 0
    assert chat.is_as_before()


@check("Ctrl-Z gives the terminal back, and fg takes it again with the line that was typed")
def _():
    script = (f'set -m; "{FATHOM}" chat -m "{MODEL}" -t 1 -n 4 --temperature 0 -q; echo "status=$?"; stty -a | grep -ow -- "-*echo"; '
              'fg > /dev/null; echo "status=$?"')
    shell = Terminal(["bash", "--norc", "--noprofile", "-c", script])
    at = shell.wait_for(rb">>> ", 0)
    shell.send("hel")
    at = shell.wait_for(rb"hel", at)
    shell.send("\x1a")
    at = shell.wait_for(rb"status=148\r\necho\r\n", at)
    at = shell.wait_for(rb">>> .*hel", at)
    shell.send("lo\r")
    at = shell.wait_for(rb"lo.*\n.*>>> ", at)
    shell.send("/exit\r")
    shell.wait_for(rb"status=0", at)
    shell.end()
    assert shell.is_as_before()


@check("a resize in the middle of a line, and 20 columns, lose nothing")
def _():
    chat = Chat(columns=20)
    text = "a line that is longer than this terminal is wide, by far"
    chat.send(text[:30])
    time.sleep(0.2)
    chat.resize(11)
    chat.send(text[30:])
    chat.line("")
    assert chat.messages()[0]["content"] == text
    chat.quit()


for name in (None, "dumb", "no-such-terminal"):
    @check(f"TERM={name}: lines are read, and the terminal gets no commands that it may not know")
    def _():
        chat = Chat(TERM=name)
        chat.line("hello")
        assert chat.messages()[0]["content"] == "hello"
        chat.quit()
        assert name == "no-such-terminal" or b"\x1b" not in chat.output, chat.output


for state in (None, "/proc/nowhere"):
    @check(f"no place for the history (HOME={state}): the chat works without")
    def _():
        chat = Chat(HOME=state, XDG_STATE_HOME=None)
        chat.line("hello")
        assert chat.messages()[0]["content"] == "hello"
        chat.quit()


@check("an error in the middle leaves the terminal as it was")
def _():
    terminal = Terminal([FATHOM, "chat", "-m", MODEL, "-t", "1", "-q", "--ctx", "8"])
    at = terminal.wait_for(rb">>> ", 0)
    terminal.send("a message that is too long for this context\r")
    terminal.wait_for(rb"the context is full.*>>> ", at)
    terminal.send("\x04")
    assert terminal.end() == 0
    assert terminal.is_as_before()


def shown(*command):
    """What the command writes to a terminal, and to a pipe."""
    terminal = Terminal([FATHOM, *command])
    terminal.end()
    piped = subprocess.run([FATHOM, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    return terminal.output.replace(b"\r\n", b"\n"), piped.stdout


def is_safe(output):
    return not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", output)


HOSTILE = "a\x1b[2J\x1b]0;t\x07b\u009b31m\rc\td\n"


@check("detokenize, tokenize, data show: control characters are shown on a terminal, and stay as they are in a pipe")
def _():
    ids = subprocess.run([FATHOM, "tokenize", "-m", MODEL, "--no-bos", "--ids", HOSTILE], stdout=subprocess.PIPE, check=True,
                         text=True).stdout.split()
    terminal, piped = shown("detokenize", "-m", MODEL, *ids)
    assert piped.decode() == HOSTILE + "\n", piped
    assert terminal.decode() == "a^[[2J^[]0;t^Gb<9B>31m^Mc\td\n\n", terminal
    terminal, _ = shown("tokenize", "-m", MODEL, HOSTILE)
    assert is_safe(terminal), terminal
    text, data = os.path.join(FOLDER, "t.txt"), os.path.join(FOLDER, "data")
    pathlib.Path(text).write_text(HOSTILE + "So many control bytes alone would be no text. " * 20)
    subprocess.run([FATHOM, "data", "build", "--tokenizer", MODEL, "-i", text, "--held-out", "0", "-o", data, "-q"], check=True,
                   stdout=subprocess.DEVNULL)
    terminal, piped = shown("data", "show", data, "--document", "0")
    assert is_safe(terminal) and b"^[[2J" in terminal and b"\x1b[2J" in piped, terminal


@check("generate and chat: control characters of a model are shown on a terminal")
def _():
    options = ["-m", MODEL, "-t", "1", "-q", "-n", "400", "--temperature", "50", "--top-p", "1", "--seed", "3"]
    terminal, piped = shown("generate", *options, "-p", "x")
    assert not is_safe(piped), "the model writes no control character: another seed is needed"
    assert is_safe(terminal), terminal
    conversation = os.path.join(FOLDER, "c.json")
    pathlib.Path(conversation).write_text(json.dumps([{"role": "user", "content": "x"}]))
    terminal, piped = shown("chat", *options, "--messages", conversation)
    assert not is_safe(piped) and is_safe(terminal), terminal


@check("inspect and error messages: so are those of a file's names")
def _():
    file = os.path.join(FOLDER, "x.safetensors")
    header = json.dumps({"a\x1b[2J\u009b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, ensure_ascii=False).encode()
    header = header.replace(b"\x1b", b"\\u001b")
    pathlib.Path(file).write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    terminal, _ = shown("inspect", "--tensors", file)
    assert is_safe(terminal), terminal
    evil = os.path.join(FOLDER, "no\x1b[2J.json")
    terminal, piped = shown("inspect", evil)
    assert is_safe(terminal) and b"no^[[2J" in terminal, terminal
    assert b"no\x1b[2J" in piped, piped
    terminal, _ = shown("chat", "-m", MODEL, "--messages", evil)
    assert is_safe(terminal), terminal
