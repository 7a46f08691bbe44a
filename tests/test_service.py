"""`cockatoo serve` under hard conditions: a signal while requests are in flight, requests generated from its OpenAPI description, bodies made to do harm.

Skipped where FastAPI is not installed. The first test is about a real process; the others run the application in this one."""
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="FastAPI is not installed; pip install 'cockatoo[serve]'")
pytest.importorskip("uvicorn", reason="uvicorn is not installed; pip install 'cockatoo[serve]'")

ROOT = Path(__file__).parent.parent
REQUESTS, TEXTS = 12, 60  # In flight at the signal: requests, and texts in each


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "A finished run of a tiny text classifier."
    from cockatoo.core.config import resolve
    from cockatoo.training.train import train

    settings = {"data.source": "demo", "data.max_samples": 64, "data.max_validation_samples": 32, "training.num_epochs": 1, "training.precision": "fp32",
                "thresholds.bootstrap_resamples": 20}
    folder = tmp_path_factory.mktemp("served") / "run"
    train(resolve("minilm", "tiny", overrides=settings, hardware=False), folder)
    return folder


TINY = {  # Settings of tiny models on generated data
    "minilm-embed": {}, "captioner": {"generation.max_new_tokens": 4}, "latent": {"generation.max_new_tokens": 4},
    "decoder": {"generation.max_new_tokens": 4, "tokenizer.vocab_size": 500, "decoder.d_model": 64, "decoder.n_layers": 2, "decoder.n_heads": 4, "decoder.d_ff": 128,
                "training.max_steps": 1, "training.batch_size": 4}}


@pytest.fixture(scope="module")
def parts(run, tmp_path_factory):
    "A function: the `service` slot of a tiny model of a type, computed once."
    from cockatoo.core.config import resolve
    from cockatoo.models.checkpoints import family_of_folder
    from cockatoo.training.train import train

    made = {}

    def of(model_type):
        if model_type not in made:
            folder = run
            if model_type != "minilm":
                folder = tmp_path_factory.mktemp("served") / model_type
                settings = {"data.source": "demo", "data.max_samples": 24, "data.max_validation_samples": 8, "training.num_epochs": 1, "training.precision": "fp32"}
                train(resolve(model_type, "tiny", overrides=settings | TINY[model_type], hardware=False), folder, progress=False)
            made[model_type] = family_of_folder(folder / "model").slot("service")(folder / "model")
        return made[model_type]

    return of


def not_json(name):
    raise AssertionError(f"{name} is not JSON")


def ask(port, path, body=None, seconds=60):
    "Status and content of an answer, and its length; fails for a body that is not JSON where it is called so."
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        is_json = answer.headers["content-type"].startswith("application/json")
        return answer.status, json.loads(data, parse_constant=not_json) if is_json else data.decode(), len(data)
    finally:
        connection.close()


def free_port():
    "A port that nothing listens on."
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def accepted_texts(port):
    "Texts that a service has put into its queue since it started, computed or waiting."
    lines = ask(port, "/metrics")[1].splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("cockatoo_items_total ", "cockatoo_waiting_items ")))


def refuses(port):
    "Is a new connection refused?"
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return False
    except ConnectionRefusedError:
        return True


def until(reached, seconds=60):
    "Wait until a function gives true."
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "waited too long"
        time.sleep(.01)


def test_signal_under_load(run, tmp_path):
    "After SIGTERM every accepted request is answered, new connections are refused, and the process ends with status 0."
    port, log = free_port(), tmp_path / "log"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-m", "cockatoo.cli", "serve", str(run), "--port", str(port), "--max-batch", "1"]
    with open(log, "w") as errors: served = subprocess.Popen(command, stderr=errors, env=environment)
    try:
        until(lambda: served.poll() is not None or not refuses(port), 120)
        assert served.poll() is None, log.read_text()[-2000:]
        body, answers = json.dumps({"texts": [f"{i} {'see you at the station at noon ' * 20}" for i in range(TEXTS)]}).encode(), []
        clients = [threading.Thread(target=lambda: answers.append(ask(port, "/batch", body))) for _ in range(REQUESTS)]
        for client in clients: client.start()
        until(lambda: accepted_texts(port) == REQUESTS * TEXTS)
        served.send_signal(signal.SIGTERM)
        until(lambda: refuses(port), 10)
        assert len(answers) < REQUESTS, "all requests were answered before connections were refused: nothing was in flight"
        for client in clients: client.join(120)
        assert served.wait(30) == 0, log.read_text()[-2000:]
    finally:
        served.kill()
        served.wait()
    assert [status for status, *_ in answers] == [200] * REQUESTS, log.read_text()[-2000:]
    assert all(len(content["results"]) == TEXTS and not any(each["error"] for each in content["results"]) for _, content, _ in answers)
    assert "station" not in log.read_text()


STRINGS = ["a", "query", "base64", "Meet me at noon.", " ", "\0", "é 漢字 🦜", "\ud83d", "x" * 3000, "a\r\n\tb", "\u202e", "None", "0.5", "a, b"]
NUMBERS = [0, 1, -1, .5, 7, 64, 1e-320, 1e308, 10 ** 25, float("nan"), float("inf"), -float("inf"), True, False]


def anything(random_, depth=0):
    "Any JSON value, and those that Python's JSON has in addition."
    kind = random_.randrange(3 if depth > 2 else 5)
    if kind == 0: return random_.choice(NUMBERS)
    if kind == 1: return random_.choice(STRINGS)
    if kind == 2: return None
    values = [anything(random_, depth + 1) for _ in range(random_.randrange(4))]
    return values if kind == 3 else {random_.choice(STRINGS): value for value in values}


def drawn(random_, schema, parts, wrong=0.):
    "A value of a schema; each part of it is with the probability `wrong` any value instead."
    if random_.random() < wrong: return anything(random_)
    if "examples" in schema and random_.random() < .5: return random_.choice(schema["examples"])
    if "$ref" in schema: return drawn(random_, parts[schema["$ref"].rsplit("/", 1)[-1]], parts, wrong)
    if "anyOf" in schema: return drawn(random_, random_.choice(schema["anyOf"]), parts, wrong)
    if "enum" in schema: return random_.choice(schema["enum"])
    kind = schema.get("type")
    if kind == "string": return random_.choice([text for text in STRINGS if len(text) >= schema.get("minLength", 0)])
    if kind in ("number", "integer"):
        low, high = schema.get("minimum", 0), schema.get("maximum", 100)
        return random_.randint(int(low), int(high)) if kind == "integer" else random_.uniform(low, high)
    if kind == "array": return [drawn(random_, schema["items"], parts, wrong) for _ in range(random_.randint(schema.get("minItems", 0), 4))]
    if kind == "null": return None
    if kind == "boolean": return random_.random() < .5
    assert kind == "object", schema
    if "properties" not in schema:
        return {random_.choice(["scam", *STRINGS]): drawn(random_, schema["additionalProperties"], parts, wrong) for _ in range(random_.randrange(3))}
    needed = schema.get("required", ())
    value = {name: drawn(random_, each, parts, wrong) for name, each in schema["properties"].items()
             if (name in needed or random_.random() < .5) and random_.random() >= wrong}
    if random_.random() < wrong: value[random_.choice(STRINGS)] = anything(random_)
    return value


def operations(description):
    "Method, path and the schema of the body (or `None`) of each operation of an OpenAPI description."
    for path, methods in description["paths"].items():
        for method, about in methods.items():
            body = about.get("requestBody")
            yield method.upper(), path, body and body["content"]["application/json"]["schema"]


def fuzz(service, tries):
    "Send generated requests to each operation of a service; gives path -> Counter of the statuses."
    from fastapi.testclient import TestClient

    random_, found = random.Random(0), {}
    with TestClient(service.asgi, raise_server_exceptions=False) as client:
        description = client.get("/openapi.json").json()
        for method, path, schema in operations(description):
            statuses = found[path] = Counter()
            for i in range(tries if schema else 1):
                body = json.dumps(drawn(random_, schema, description["components"]["schemas"], (0, .1, .3)[i % 3])) if schema else ""
                answer = client.request(method, path, content=body.encode(), headers={"content-type": "application/json"})
                assert answer.status_code < 500, (path, body, answer.text)
                if answer.headers["content-type"].startswith("application/json"): json.loads(answer.content, parse_constant=not_json)
                else: assert path == "/metrics" or answer.text.endswith("data: [DONE]\n\n"), (path, body, answer.text)
                statuses[answer.status_code] += 1
    return found


def check_statuses(found, routes):
    "The routes are those expected, and requests with a body were accepted and refused."
    assert set(found) == {*routes, "/health", "/metrics"}
    for path, statuses in found.items():
        assert statuses[200] and set(statuses) <= {200, 400, 422}, (path, statuses)
        if sum(statuses.values()) > 1: assert statuses[422], (path, statuses)


@pytest.mark.parametrize("model_type, tries, routes", [
    ("minilm", 200, ["/predict", "/batch", "/labels"]), ("minilm-embed", 200, ["/embed", "/v1/embeddings"]), ("captioner", 40, ["/caption", "/captions"]),
    ("decoder", 60, ["/v1/completions"]), ("latent", 40, ["/predict", "/batch", "/latents", "/interpolate"])])
def test_generated_requests(parts, model_type, tries, routes):
    from cockatoo.export.service import Service

    check_statuses(fuzz(Service(model_type, *parts(model_type)), tries), routes)


def many(part, count, separator=b", "):
    "A JSON fragment so many times; %d is its number."
    return separator.join(part % i if b"%d" in part else part for i in range(count))


HARMFUL = {  # In the place of LIST stands the name of the field with the texts
    "a text of 10 MB": b'{"LIST": ["' + b"x" * 10_000_000 + b'"]}', "10,000 texts": b'{"LIST": [' + many(b'"x"', 10_000) + b"]}", "broken JSON": b'{"LIST": ["x',
    "a hundred thousand wrong texts": b'{"LIST": [' + many(b"1", 100_000) + b"]}", "nested lists": b"[" * 1_000_000, "nested objects": b'{"LIST":' * 100_000,
    "no UTF-8": b'{"LIST": ["\xff"]}', "nothing": b"", "a very long number": b'{"LIST": ' + b"7" * 10_000 + b"}", "NaN": b'{"LIST": NaN}'}
STRICT = {  # Of routes that forbid other fields
    "half a surrogate pair in a name": b'{"LIST": ["x"], "\\ud83d": 1}', "a long name": b'{"LIST": ["x"], "' + b"k" * 1_000_000 + b'": 1}',
    "many other fields": b'{"LIST": ["x"], ' + many(b'"%d": 1', 20_000) + b"}"}
THRESHOLDS = {
    "half a surrogate pair as label": b'{"LIST": ["x"], "threshold": {"\\ud83d": 2}}', "a long label": b'{"LIST": ["x"], "threshold": {"' + b"k" * 1_000_000 + b'": 0.5}}',
    "many wrong thresholds": b'{"LIST": ["x"], "threshold": {' + many(b'"%d": 2', 20_000) + b"}}", "infinity": b'{"LIST": ["x"], "threshold": 1e999}',
    "an unknown label where no text is usable": b'{"LIST": [" "], "threshold": {"scan": 0.5}}'}


@pytest.mark.parametrize("model_type, path, field, more", [
    ("minilm", "/batch", "texts", STRICT | THRESHOLDS), ("minilm-embed", "/embed", "texts", STRICT), ("minilm-embed", "/v1/embeddings", "input", {}),
    ("captioner", "/captions", "images", STRICT), ("decoder", "/v1/completions", "prompt", STRICT), ("latent", "/batch", "texts", STRICT), ("latent", "/latents", "texts", STRICT)])
def test_harmful_bodies(parts, model_type, path, field, more):
    "Each body gets a 4xx with a short message, and the service still answers."
    from cockatoo.export.service import Service, running

    wrong = {}
    with running(Service(model_type, *parts(model_type))) as port:
        for name, body in (HARMFUL | more).items():
            status, content, length = ask(port, path, body.replace(b"LIST", field.encode(), 1))
            if not 400 <= status < 500 or not content["detail"] or length > 3000: wrong[name] = status, length, str(content)[:200]
        assert not wrong
        assert ask(port, path, json.dumps({field: ["fine"]}).encode())[0] == 200
