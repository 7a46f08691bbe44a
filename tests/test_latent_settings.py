"""Every setting of document 002 is accepted, and every setting of the latent model's own sections is read by its code."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECTIONS = ("latent", "stages", "corpora", "cache")
STAGES = re.compile(r"(pretrain|finetune)_(middle|adapter)_(epochs|batch_size|learning_rate|max_samples(_\w+)?)")
BY_NAME = {"wikitext_max_samples", "arxiv_max_samples", "train_split", "validation_split", "test_split"}  # read as f"{name}_…"


def fields():
    from cockatoo.core.settings import sections

    return [(section, name) for section in SECTIONS for name in sections()[section].model_fields]


@pytest.mark.parametrize("section, name", fields(), ids=str)
def test_a_setting_is_read(section, name):
    files = [file for file in (ROOT / "cockatoo/latent").glob("*.py") if file.name not in ("settings.py", "types.py")]
    code = "\n".join(file.read_text() for file in files)
    if STAGES.fullmatch(name) or name in BY_NAME or name.startswith("store_"): assert re.search(r'getattr\((s|stages|config\.stages|config\.corpora|corpora|cache), f"', code)
    else: assert re.search(rf"\b{name}\b", code), f"{section}.{name}: nothing reads it"


CHANGED = {  # Setting -> another value than its default, where a number or a switch does not do
    "pooling": "attention", "stop_latent_init": "zeros", "pretrain_target": "next_passage", "pretraining": "data", "pipeline_mode": "end_to_end",
    "training_phase": "identity", "format": "jsonl", "stop_latent_cosine_threshold": .5, "temperature": .1}


def changed(section, name):
    "A value that differs from the default."
    from cockatoo.core.settings import sections

    if name in CHANGED: return CHANGED[name]
    field = sections()[section].model_fields[name]
    value = field.default
    if isinstance(value, bool): return not value
    if isinstance(value, int): return value + 4 if value else 4
    if isinstance(value, float): return value / 2 if value else .25
    if name.endswith("learning_rate"): return .5
    if value is None: return "x" if "str" in str(field.annotation) else 3
    return value + "x"


@pytest.mark.parametrize("section, name", fields(), ids=str)
def test_a_setting_can_be_changed(section, name):
    from cockatoo.core.config import resolve

    path, value = f"{section}.{name}", changed(section, name)
    changes = {path: value}
    if name in ("latent_dim", "decoder_hidden_dim"): changes[path] = 2 * resolve("latent", hardware=False).get(path)
    found = resolve("latent", overrides=changes, hardware=False)
    assert found.get(path) == changes[path] != resolve("latent", hardware=False).get(path)


@pytest.mark.parametrize("name, value", [
    ("middle_num_heads", 2), ("middle_use_rope", False), ("adapter_use_rope", False), ("use_prefix_rope", True), ("rope_base", 100.), ("use_rmsnorm", False),
    ("normalize_latent", False), ("stop_latent_seed", 3), ("prefix_len", 5), ("latent_seq_len", 4), ("middle_transformer_layers", 1), ("middle_ffn_multiplier", 2.),
    ("pool_num_heads", 4), ("adapter_num_heads", 2), ("rmsnorm_eps", .05), ("stop_latent_init", "zeros"), ("pooling", "mean"), ("latent_dim", 32)])
def test_a_setting_of_the_model_changes_it(name, value):
    "Another shape, another count, or other numbers from the same seed."
    import torch
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

    from cockatoo.core.config import resolve
    from cockatoo.latent.model import LatentModel

    base = resolve("latent", size="tiny", overrides={"data.source": "demo"}, hardware=False).latent
    shape = dict(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, vocab_size=40)

    def outcome(settings):
        torch.manual_seed(0)
        model = LatentModel(BertModel(BertConfig(**shape)), LlamaForCausalLM(LlamaConfig(**shape)), settings).eval()
        for block in model.middle: torch.nn.init.normal_(block.feed_forward.down.weight, generator=torch.Generator().manual_seed(1)); torch.nn.init.normal_(block.attention.out.weight, generator=torch.Generator().manual_seed(2))
        states = torch.randn(2, 6, 64, generator=torch.Generator().manual_seed(3))
        if settings.pooling == "mean": states = states[:, :1]
        with torch.no_grad(): made = model.prefix(model.think(model.latents(states)))
        return sum(p.numel() for p in model.parameters()), made, model.stop

    before, after = outcome(base), outcome(base.model_copy(update={name: value}))
    same = before[0] == after[0] and all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(before[1:], after[1:]))
    assert not same, f"latent.{name} = {value!r} changes nothing"
