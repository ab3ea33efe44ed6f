"""The official openai client against a frontend: happy paths, early closes and errors. Arguments: base URL, model.

Prints `ok NAME` for each check; any failed assertion ends the program with an error.
"""

import sys

import openai

base_url, model = sys.argv[1], sys.argv[2]
client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=30)
messages = [{"role": "user", "content": "Hello"}]


def ok(name):
    print("ok", name, flush=True)


def fails(kind, call, status):
    try:
        call()
    except openai.APIStatusError as error:
        assert type(error) is kind, (type(error), error)
        assert error.status_code == status, error.status_code
        return error
    raise AssertionError(f"{kind} was expected")


chat = client.chat.completions.create(model=model, messages=messages, max_completion_tokens=5)
assert chat.choices[0].message.role == "assistant" and chat.choices[0].message.content
assert chat.choices[0].finish_reason == "length" and chat.usage.completion_tokens == 5
assert chat.usage.total_tokens == chat.usage.prompt_tokens + 5
ok("chat")

text = client.completions.create(model=model, prompt=["Hello", "Again"], max_tokens=3)
assert [choice.index for choice in text.choices] == [0, 1] and all(c.text for c in text.choices)
assert text.usage.completion_tokens == 6
ok("completions of two prompts")

stream = client.chat.completions.create(model=model, messages=messages, max_completion_tokens=4, stream=True)
chunks = list(stream)
roles = [chunk.choices[0].delta.role for chunk in chunks]
assert roles == ["assistant"] + [None] * (len(chunks) - 1), roles
assert all(chunk.usage is None for chunk in chunks)
assert chunks[-1].choices[0].finish_reason == "length"
assert all(chunk.choices[0].finish_reason is None for chunk in chunks[:-1])
ok("streamed chat")

raw = client.chat.completions.with_raw_response.create(
    model=model, messages=messages, max_completion_tokens=4, stream=True,
    stream_options={"include_usage": True},
)
lines = [line for line in raw.http_response.iter_lines() if line.startswith("data: ")]
assert lines[-1] == "data: [DONE]"
assert all('"usage":null' in line for line in lines[:-2]), lines
assert '"choices":[]' in lines[-2] and '"completion_tokens":4' in lines[-2], lines[-2]
ok("streamed chat with usage")

parts = client.completions.create(model=model, prompt="Hello", max_tokens=4, stream=True)
assert "".join(part.choices[0].text for part in parts)
ok("streamed completion")

assert model in [listed.id for listed in client.models.list()]
assert client.models.retrieve(model).id == model
missing = fails(openai.NotFoundError, lambda: client.models.retrieve("no/such/model"), 404)
assert missing.code == "model_not_found", missing.body
ok("models")

# A client that has enough of a stream.
with client.chat.completions.create(model=model, messages=messages, max_completion_tokens=240, stream=True) as cut:
    next(iter(cut))
ok("early close")

missing = fails(
    openai.NotFoundError,
    lambda: client.chat.completions.create(model="nobody/serves-this", messages=messages), 404,
)
assert "nobody/serves-this" in missing.message
ok("unknown model")

too_long = fails(
    openai.BadRequestError,
    lambda: client.completions.create(model=model, prompt=[list(range(200))], max_tokens=100), 400,
)
assert too_long.code == "context_length_exceeded" and too_long.param == "prompt", too_long.body
fails(
    openai.BadRequestError,
    lambda: client.chat.completions.create(model=model, messages=messages, max_completion_tokens=10**6), 400,
)
ok("context length")

for wrong in ({"n": 2}, {"temperature": 9}, {"max_completion_tokens": 0}, {"messages": []}):
    fails(
        openai.BadRequestError,
        lambda: client.chat.completions.create(**{"model": model, "messages": messages, **wrong}), 400,
    )
fails(openai.BadRequestError, lambda: client.completions.create(model=model, prompt=[]), 400)
ok("bad requests")

# Fields of the API that the engine has no use for are let pass, as by other servers.
client.chat.completions.create(
    model=model, messages=messages, max_completion_tokens=1, seed=7, user="u", stop=["x"], presence_penalty=0.5,
    extra_body={"unknown_field": {"nested": True}},
)
ok("other fields")

huge = "x" * (9 << 20)
fails(
    openai.APIStatusError,
    lambda: client.completions.create(model=model, prompt=huge, max_tokens=1), 413,
)
ok("body too large")

try:
    client.with_options(timeout=0.05).completions.create(model=model, prompt="Hello", max_tokens=250)
    raise AssertionError("a timeout was expected")
except openai.APITimeoutError:
    ok("timeout")
