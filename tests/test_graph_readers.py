"""Exported ONNX folders of a classifier, an embedder, a captioner and a decoder in other people's hands, where these are installed: OpenVINO, and transformers.js in Node.

Node looks for `@huggingface/transformers` in the folders of NODE_PATH and in its usual places. transformers.js (4.3) cuts a long text after the special tokens
are added, so that the last one is lost, with every model; a program that puts it back gets our scores."""
import importlib.util
import json
import os
import shutil
import subprocess

import numpy as np
import pytest

SENTENCES = ["You win a free phone, click here now!", "Meet me at the station at noon.", "this cake is to die for", "Crème brûlée, naïve café: 12 €", "漢字 and 🦜"]
TEXTS = [f"{SENTENCES[i % 5]} {i}" for i in range(45)] + [f"{SENTENCES[0]} " * n for n in (5, 8, 60, 80, 200)]
CUT = 3  # So many of them, the last ones, are longer than the maximum length


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    "The exported folder of a tiny classifier with enlarged random weights, so that the scores of texts differ, and its scores."
    import torch

    from cockatoo.classifier.demo import write_demo
    from cockatoo.classifier.labels import LabelSpace
    from cockatoo.classifier.model import load
    from cockatoo.classifier.predict import Predictor
    from cockatoo.classifier.thresholds import Thresholds
    from cockatoo.core.config import resolve
    from cockatoo.export.exporting import export_model
    from cockatoo.models.checkpoints import save, write_identity

    place = tmp_path_factory.mktemp("classifier")
    demo = write_demo(place / "demo", rows=(60, 30, 10))
    rows = [json.loads(line) for line in (demo / "train.jsonl").read_text().splitlines()]
    labels, config = LabelSpace(sorted({name for row in rows for name in row["labels"]})), resolve("minilm", "tiny", hardware=False)
    model, tokenizer, _ = load(config, labels, [row["text"] for row in rows] + SENTENCES)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 2: weights *= 6
    save(model, tokenizer, place / "model")
    Thresholds(dict.fromkeys(labels, .5), "validation").save(place / "model")
    write_identity(place / "model", config)
    exported = export_model(place / "model", place / "exported", data=str(demo), force=True)  # Kept on a busy machine, where it may be slow
    scores = Predictor.load(place / "model", device="cpu").scores(TEXTS)
    assert scores.std(axis=0).min() > .01  # Otherwise the comparisons below would show nothing
    return exported.folder, list(labels), scores


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    "The exported folder of a tiny untrained embedder, and its vectors."
    from cockatoo.core.config import resolve
    from cockatoo.embedder.demo import pairs
    from cockatoo.embedder.model import build
    from cockatoo.embedder.predict import Embedder
    from cockatoo.export.exporting import export_model
    from cockatoo.models.checkpoints import write_identity

    place = tmp_path_factory.mktemp("embedder")
    class data: splits = {"train": {name: [row[name] for row in pairs(300)] for name in ("query", "document")}}
    config = resolve("minilm-embed", size="tiny", hardware=False)
    model = Embedder(*build(config, data)[:2])
    write_identity(model.save(place / "model"), config)
    (place / "pairs").mkdir()
    with open(place / "pairs/validation.jsonl", "w") as file:
        for row in pairs(40, seed=3): file.write(json.dumps({name: row[name] for name in ("query", "document")}) + "\n")
    exported = export_model(place / "model", place / "exported", data=str(place / "pairs"), force=True)
    return exported.folder, model.encode(TEXTS)


def needs(*packages):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed: this reader of ONNX folders is not tried")


@needs("openvino", "onnxruntime")
def test_openvino(classifier):
    "The logits of OpenVINO are those of onnxruntime, in batches of different sizes and lengths, and give our scores."
    import onnxruntime
    import openvino
    from tokenizers import Tokenizer

    folder, _, scores = classifier
    session = onnxruntime.InferenceSession(folder / "onnx/model.onnx")
    about = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    pad, tokenizer = about["preprocessing"]["text"], Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(about["max_length"])
    tokenizer.enable_padding(pad_id=pad["pad_token_id"], pad_token=pad["pad_token"])
    compiled = openvino.Core().compile_model(folder / "onnx/model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for rows in slice(0, 1), slice(1, 8), slice(8, 50):
        batch = tokenizer.encode_batch(TEXTS[rows])
        inputs = {"input_ids": np.array([row.ids for row in batch]), "attention_mask": np.array([row.attention_mask for row in batch])}
        found, expected = compiled(inputs)["logits"], session.run(["logits"], inputs)[0]
        np.testing.assert_allclose(found, expected, atol=1e-3)
        np.testing.assert_allclose(1 / (1 + np.exp(-found)), scores[rows], atol=1e-3)


def why_not_node():
    "What is missing for transformers.js, or an empty text."
    if not shutil.which("node"): return "node not installed: transformers.js is not tried"
    found = subprocess.run(["node", "-e", "require.resolve('@huggingface/transformers')"], capture_output=True).returncode == 0
    return "" if found else "@huggingface/transformers not installed for node: transformers.js is not tried"


needs_node = pytest.mark.skipif(bool(why_not_node()), reason=why_not_node() or "installed")
NODE = """
const {env, pipeline, AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForSequenceClassification, AutoProcessor, AutoTokenizer, RawImage} = require("@huggingface/transformers");
const fs = require("fs"), [home, folder, texts] = [process.argv[2], process.argv[3], JSON.parse(fs.readFileSync(process.argv[4]))];
env.allowRemoteModels = false; env.localModelPath = home;
const run = async () => { %s };
run().then(found => fs.writeFileSync(process.argv[5], JSON.stringify(found))).catch(error => { console.error(error); process.exit(1); });
"""
PIPELINE = """const classify = await pipeline("text-classification", folder, {dtype: "fp32"}); return await classify(texts, {top_k: null});"""
MODEL = """
const tokenizer = await AutoTokenizer.from_pretrained(folder), model = await CLASS.from_pretrained(folder, {dtype: "fp32"});
const inputs = await tokenizer(texts, {padding: true, truncation: true}), [rows, length] = inputs.input_ids.dims;
const last = tokenizer("a").input_ids.data.at(-1), full = i => inputs.attention_mask.data[(i + 1) * length - 1] == 1n;
for (let i = 0; i < rows; i++) if (full(i)) inputs.input_ids.data[(i + 1) * length - 1] = last;
return (await model(inputs)).OUTPUT.tolist();"""


CAPTIONS = """
const processor = await AutoProcessor.from_pretrained(folder), model = await AutoModelForImageTextToText.from_pretrained(folder, {dtype: "fp32"}), found = [];
for (const file of texts) {
  const inputs = await processor(await RawImage.read(file), "<image>"), tokens = await model.generate({...inputs, max_new_tokens: 30, do_sample: false});
  found.push(processor.batch_decode(tokens.slice(null, [inputs.input_ids.dims[1], null]), {skip_special_tokens: true})[0].trim());
}
return found;"""


BEGINNINGS = ["the", "def add(", "Once upon a time", "import os\n"]
COMPLETIONS = """
const tokenizer = await AutoTokenizer.from_pretrained(folder), model = await AutoModelForCausalLM.from_pretrained(folder, {dtype: "fp32"}), found = [];
const write = await pipeline("text-generation", folder, {dtype: "fp32"});
for (const text of texts) {
  const tokens = await model.generate({...tokenizer(text), max_new_tokens: 64, do_sample: false});
  found.push([tokens.tolist()[0].map(Number), (await write(text, {max_new_tokens: 64, do_sample: false}))[0].generated_text]);
}
return found;"""


def in_node(code, folder, place, inputs=TEXTS):
    "What a program of transformers.js gives for the texts."
    (place / "program.cjs").write_text(NODE % code)
    (place / "texts.json").write_text(json.dumps(inputs))
    done = subprocess.run(["node", "program.cjs", str(folder.parent) + os.sep, folder.name, "texts.json", "found.json"], cwd=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((place / "found.json").read_text())


@needs_node
def test_classifier_in_node(classifier, tmp_path):
    "Labels and scores of `pipeline(\"text-classification\")`; and the scores of the model where long texts end with their special token."
    folder, labels, scores = classifier
    found = [{each["label"]: each["score"] for each in answer} for answer in in_node(PIPELINE, folder, tmp_path)]
    np.testing.assert_allclose([[answer[name] for name in labels] for answer in found[:-CUT]], scores[:-CUT], atol=1e-3)
    logits = in_node(MODEL.replace("CLASS", "AutoModelForSequenceClassification").replace("OUTPUT", "logits"), folder, tmp_path)
    np.testing.assert_allclose(1 / (1 + np.exp(-np.array(logits))), scores, atol=1e-3)


@needs_node
def test_embedder_in_node(embedder, tmp_path):
    "The vectors of the output `sentence_embedding`, those of long texts included."
    folder, vectors = embedder
    np.testing.assert_allclose(in_node(MODEL.replace("CLASS", "AutoModel").replace("OUTPUT", "sentence_embedding"), folder, tmp_path), vectors, atol=1e-3)


@needs_node
def test_captioner_in_node(tmp_path):
    "The captions of a captioner that was trained for some steps, so that they differ."
    from cockatoo import resolve, train
    from cockatoo.captioner.predict import CaptionPredictor
    from cockatoo.captioner.scenes import write_scenes
    from cockatoo.export.exporting import export_model

    config = resolve("captioner", "tiny", overrides={"data.source": "demo", "data.max_samples": 80, "training.max_steps": 60, "compute.device": "cpu"})
    run = train(config, tmp_path / "run", progress=False)
    folder = export_model(run, force=True).folder
    files = sorted(map(str, (write_scenes(tmp_path / "scenes", (2, 20, 2)) / "images").glob("validation-*.png")))
    captions = [answer["caption"] for answer in CaptionPredictor.load(run.path, device="cpu", num_beams=1).predict(files)]
    assert len(set(captions)) > 2
    assert in_node(CAPTIONS, folder, tmp_path, files) == captions


@needs_node
def test_decoder_in_node(tmp_path):
    "Tokens and texts of a small Llama with enlarged random weights, so that every beginning goes on in its own way."
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from cockatoo import resolve, train
    from cockatoo.export.exporting import export_model

    config = resolve("decoder", "tiny", overrides={
        "data.source": "demo", "data.max_samples": 60, "tokenizer.vocab_size": 1000, "training.max_steps": 2, "training.batch_size": 4, "compute.device": "cpu",
        "decoder.d_model": 64, "decoder.n_layers": 2, "decoder.n_heads": 4, "decoder.d_ff": 128, "decoder.feed_forward": "swiglu", "decoder.qk_norm": False})
    folder = train(config, tmp_path / "run", progress=False).model_dir
    model, tokenizer, expected = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), []
    with torch.no_grad():
        for weights in model.parameters(): weights += torch.randn(weights.shape, generator=torch.manual_seed(0)) * .3 * (weights.ndim == 2)
    model.save_pretrained(folder)
    for text in BEGINNINGS:
        tokens = model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=64, do_sample=False)[0].tolist()
        expected.append([tokens, text + tokenizer.decode(tokens[len(tokenizer(text)["input_ids"]):], skip_special_tokens=True)])
    assert len({text[-20:] for _, text in expected}) > 2
    exported = export_model(folder, data="demo", force=True).folder
    assert in_node(COMPLETIONS, exported, tmp_path, BEGINNINGS) == expected
