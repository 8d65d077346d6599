"""OpenAI's own client for Python, whichever version is installed."""
import asyncio
import json
import os
import sys
import unittest
from typing import Annotated

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import openai
from fathom_server import KEY, Server, eventually
from pydantic import BaseModel, Field

ASK = {"model": "bundled", "messages": [{"role": "system", "content": "You are a king."}, {"role": "user", "content": "Who are you?"}], "max_tokens": 24, "temperature": 0}
LONG = {"model": "bundled", "prompt": "Once", "max_tokens": 300, "extra_body": {"ignore_eos": True}}


class Person(BaseModel):
    name: str = Field(max_length=8)
    age: int = Field(ge=0, le=99)
    friends: list[Annotated[str, Field(max_length=8)]] = Field(max_length=2)


class OneServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())
        cls.client = cls.enterClassContext(openai.OpenAI(base_url=f"{cls.server.url}/v1", api_key=KEY))

    def test_chat_whole_and_streamed(self):
        whole = self.client.chat.completions.create(**ASK)
        chunks = list(self.client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual([bool(c.usage) for c in chunks], [False] * (len(chunks) - 1) + [True])
        self.assertEqual(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens)
        self.assertEqual(chunks[-2].choices[0].finish_reason, whole.choices[0].finish_reason)

    def test_asynchronous_client(self):
        async def texts():
            async with openai.AsyncOpenAI(base_url=f"{self.server.url}/v1", api_key=KEY) as client:
                async def one(i):
                    text = ""
                    async for chunk in await client.chat.completions.create(**{**ASK, "temperature": 1, "seed": i % 4}, stream=True):
                        text += chunk.choices[0].delta.content or ""
                    return text
                return await asyncio.gather(*(one(i) for i in range(16)))
        all_texts = asyncio.run(texts())
        self.assertEqual(all_texts, all_texts[:4] * 4, "a seed gives one text, among any neighbours")

    def test_n_stop_and_log_probabilities(self):
        answer = self.client.chat.completions.create(**{**ASK, "temperature": 1}, n=3, seed=7, logprobs=True, top_logprobs=3)
        self.assertEqual([c.index for c in answer.choices], [0, 1, 2])
        for c in answer.choices:
            self.assertEqual(b"".join(bytes(t.bytes) for t in c.logprobs.content).decode().removeprefix(" "), c.message.content, "but for the space after the role")
            self.assertTrue(all(len(t.top_logprobs) == 3 for t in c.logprobs.content))
        text = self.client.chat.completions.create(**ASK).choices[0].message.content
        stopped = self.client.chat.completions.create(**ASK, stop=[text[5:9]]).choices[0]
        self.assertEqual((stopped.finish_reason, stopped.message.content), ("stop", text[:text.index(text[5:9])]))

    def test_parse_with_a_model_of_pydantic(self):
        chat = getattr(self.client.chat.completions, "parse", None) or self.client.beta.chat.completions.parse
        for seed in range(3):
            parsed = chat(**{**ASK, "max_tokens": 400, "temperature": 1}, seed=seed, response_format=Person).choices[0].message.parsed
            self.assertIsInstance(parsed, Person)
        with self.assertRaises(openai.LengthFinishReasonError):
            chat(**{**ASK, "max_tokens": 3}, response_format=Person)
        answer = self.client.chat.completions.create(**{**ASK, "max_tokens": 400, "temperature": 1}, seed=1, response_format={"type": "json_object"})
        if answer.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(answer.choices[0].message.content), dict)

    def test_tools_and_responses(self):
        function = {"name": "person", "parameters": {**Person.model_json_schema(), "additionalProperties": False}, "strict": True}
        called = {**ASK, "max_tokens": 300, "tools": [{"type": "function", "function": function}], "tool_choice": "required"}
        choice = self.client.chat.completions.create(**called).choices[0]
        self.assertEqual(choice.finish_reason, "tool_calls")
        Person.model_validate_json(choice.message.tool_calls[0].function.arguments)
        arguments = "".join(call.function.arguments or "" for chunk in self.client.chat.completions.create(**called, stream=True)
                            for c in chunk.choices for call in c.delta.tool_calls or [])
        self.assertEqual(arguments, choice.message.tool_calls[0].function.arguments)
        plain = {"model": "bundled", "instructions": "You are a king.", "input": "Who are you?", "max_output_tokens": 24, "temperature": 0}
        whole = self.client.responses.create(**plain)
        self.assertEqual(whole.output_text, self.client.chat.completions.create(**ASK).choices[0].message.content)
        self.assertEqual("".join(e.delta for e in self.client.responses.create(**plain, stream=True) if e.type == "response.output_text.delta"), whole.output_text)
        parsed = self.client.responses.parse(**{**plain, "max_output_tokens": 400}, text_format=Person)
        self.assertIsInstance(parsed.output_parsed, Person)

    def test_completions(self):
        ask = {"model": "bundled", "prompt": "Once upon a time", "max_tokens": 8, "temperature": 0}
        text = self.client.completions.create(**ask).choices[0].text
        self.assertEqual([c.text for c in self.client.completions.create(**{**ask, "prompt": ["Once upon a time", "Once upon a time"]}).choices], [text, text])
        scored = self.client.completions.create(**{**ask, "max_tokens": 1}, echo=True, logprobs=1).choices[0]
        self.assertTrue(scored.text.startswith("Once upon a time"), scored.text)
        self.assertIsNone(scored.logprobs.token_logprobs[0])
        self.assertTrue(all(p <= max(top.values()) for p, top in zip(scored.logprobs.token_logprobs[1:], scored.logprobs.top_logprobs[1:])))

    def test_models(self):
        self.assertEqual([m.id for m in self.client.models.list()], ["bundled"])
        self.assertEqual(self.client.models.retrieve("bundled").id, "bundled")

    def test_errors(self):
        def error(kind, **body):
            with self.assertRaises(kind) as raised:
                self.client.chat.completions.create(**{**ASK, **body})
            return raised.exception
        self.assertEqual(error(openai.BadRequestError, temperature=9).param, "temperature")
        self.assertEqual(error(openai.BadRequestError, extra_body={"temprature": 1}).code, "unknown_parameter")
        self.assertEqual(error(openai.BadRequestError, messages=[{"role": "user", "content": "word " * 3000}]).code, "context_length_exceeded")
        self.assertEqual(error(openai.NotFoundError, model="gpt-4o").code, "model_not_found")
        with self.assertRaises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{self.server.url}/v1", api_key="sk-wrong").models.list()

    def test_closing_a_stream_frees_its_sequence(self):
        stream = self.client.completions.create(**{**LONG, "max_tokens": 500}, n=8, stream=True)
        next(iter(stream))
        stream.close()
        eventually(self.server.is_idle, "an idle server")


class BusyServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server("--max-running", "1", "--max-queued", "1"))

    async def load(self, retries, hook=None):
        http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [hook]} if hook else {})
        async with openai.AsyncOpenAI(base_url=f"{self.server.url}/v1", api_key=KEY, max_retries=retries, http_client=http) as client:
            return await asyncio.gather(*(client.completions.create(**LONG, seed=i) for i in range(6)), return_exceptions=True)

    def test_429(self):
        refused = [a for a in asyncio.run(self.load(0)) if isinstance(a, Exception)]
        self.assertTrue(refused)
        for error in refused:
            self.assertIsInstance(error, openai.RateLimitError)
            self.assertEqual(error.response.headers["Retry-After"], "1")

    def test_trying_again_when_told(self):
        seen = []

        async def hook(response):
            seen.append(response.status_code)
        answers = asyncio.run(self.load(12, hook))
        self.assertEqual([a.usage.completion_tokens for a in answers], [300] * 6)
        self.assertIn(429, seen)


if __name__ == "__main__":
    print(f"openai {openai.__version__}")
    unittest.main()
