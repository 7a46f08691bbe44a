"A decoder's folder in other people's hands: stock transformers without this package, and other readers of Llama folders where they are installed."
import importlib.util
import json
import subprocess
import sys

import pytest

PROMPT, NEW = list(range(12, 24)), 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A Llama folder of random weights, large enough that greedy tokens mean something, and what it generates."
    import torch

    from cockatoo.core.settings import GenerationSettings
    from cockatoo.decoder.folders import save
    from cockatoo.decoder.generation import generate
    from cockatoo.decoder.model import DecoderConfig, DecoderForCausalLM
    from cockatoo.decoder.settings import TokenizerSettings
    from cockatoo.decoder.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(["the quick brown fox jumps over the lazy dog"] * 3, TokenizerSettings(vocab_size=300))
    torch.manual_seed(0)
    model = DecoderForCausalLM(DecoderConfig(
        vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=256,
        max_position_embeddings=128, feed_forward="swiglu", rope_theta=50_000.0, initializer_range=.2)).eval()
    place = tmp_path_factory.mktemp("folder")
    settings = GenerationSettings(max_new_tokens=NEW)
    save(model, tokenizer, place / "model", settings)
    tokens, = generate(model, tokenizer, [PROMPT], settings, stops=(-1,))
    (place / "tokens.json").write_text(json.dumps(tokens))
    torch.save(model(torch.tensor([PROMPT])).logits.detach(), place / "logits.pt")
    return place


STOCK = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
place = sys.argv[1]
model, tokenizer = AutoModelForCausalLM.from_pretrained(place + "/model").eval(), AutoTokenizer.from_pretrained(place + "/model")
ids = torch.tensor([%r])
with torch.no_grad(): torch.testing.assert_close(model(ids).logits, torch.load(place + "/logits.pt"), rtol=1e-4, atol=1e-4)
found = model.generate(ids, max_new_tokens=%d, do_sample=False, suppress_tokens=[0, 1, 2], eos_token_id=-1)[0, ids.shape[1]:].tolist()
assert found == json.load(open(place + "/tokens.json")), found
assert tokenizer("<eos>", add_special_tokens=False)["input_ids"] != [tokenizer.eos_token_id]
assert not any(name.partition(".")[0] == "cockatoo" for name in sys.modules)
print(type(model).__name__)
""" % (PROMPT, NEW)


def test_stock_transformers(folder):
    "In a process that knows nothing of this package: the class of Llama, equal logits, equal tokens."
    done = subprocess.run([sys.executable, "-c", STOCK, str(folder)], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "LlamaForCausalLM"


def needs(*packages):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed: this reader of Llama folders is not tried")


@needs("ctranslate2")
def test_ctranslate2(folder, tmp_path):
    import ctranslate2
    from transformers import AutoTokenizer

    ctranslate2.converters.TransformersConverter(str(folder / "model")).convert(str(tmp_path / "ct2"))
    generator, tokenizer = ctranslate2.Generator(str(tmp_path / "ct2")), AutoTokenizer.from_pretrained(folder / "model")
    found = generator.generate_batch(
        [tokenizer.convert_ids_to_tokens(PROMPT)], max_length=NEW, sampling_topk=1, include_prompt_in_result=False, end_token=[],
        suppress_sequences=[["<pad>"], ["<unk>"], ["<bos>"]])
    assert found[0].sequences_ids[0] == json.loads((folder / "tokens.json").read_text())


@needs("mlx", "mlx_lm")
def test_mlx_lm(folder):
    import mlx.core as mx
    import mlx_lm

    model, _ = mlx_lm.load(str(folder / "model"))
    ids = list(PROMPT)
    for _ in range(NEW):
        logits = model(mx.array([ids]))[0, -1]
        logits[mx.array([0, 1, 2])] = -1e9
        ids.append(int(mx.argmax(logits)))
    assert ids[len(PROMPT):] == json.loads((folder / "tokens.json").read_text())


@needs("onnxruntime_genai", "onnx", "onnxruntime")
def test_onnxruntime_genai(folder, tmp_path):
    import onnxruntime_genai as og
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", folder / "model", "-o", tmp_path / "genai", "-p", "fp32", "-e", "cpu", "-c", tmp_path / "cache"]
    done = subprocess.run([str(word) for word in builder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    model = og.Model(str(tmp_path / "genai"))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=len(PROMPT) + NEW + 1, do_sample=False)
    generator = og.Generator(model, parameters)
    generator.append_tokens(PROMPT)
    wanted = json.loads((folder / "tokens.json").read_text())
    for token in wanted:
        logits = generator.get_logits().flatten()
        logits[[0, 1, 2]] = -1e9
        assert int(logits.argmax()) == token
        generator.append_tokens([token])
