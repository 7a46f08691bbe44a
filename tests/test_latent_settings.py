"""Every setting of document 002 and of the latent model's own sections is accepted, and changing it changes something."""
import functools
import json
from types import SimpleNamespace

import pytest

SECTIONS = ("latent", "stages", "corpora", "cache")
TINY = {"data.source": "demo", "data.max_samples": 12, "data.max_validation_samples": 6, "data.max_test_samples": 6, "latent.lora_rows": 0}
NORMAL = {"data.source": "demo"}


@functools.cache
def words():
    "A tokenizer of some words, as an encoder and a decoder have one."
    from cockatoo.latent.dialogues import dialogues
    from cockatoo.models.tiny import byte_pieces
    from transformers import PreTrainedTokenizerFast

    pieces = byte_pieces([row["source"] for row in dialogues(50)], 400, ["<|endoftext|>", "<pad>"])
    return PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="<|endoftext|>", pad_token="<pad>")


def network(settings):
    "A latent model from a fixed seed, with a middle Transformer that is not the identity."
    import torch
    from cockatoo.latent.model import LatentModel
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

    shape = dict(hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=40)
    torch.manual_seed(0)
    model = LatentModel(BertModel(BertConfig(**shape)), LlamaForCausalLM(LlamaConfig(**shape)), settings)
    generator = torch.Generator().manual_seed(1)
    for block in model.middle:
        for last in block.feed_forward.down, block.attention.out: torch.nn.init.normal_(last.weight, generator=generator)
    return model


# What a setting may change. Each takes a configuration and returns something that can be compared; an error that refuses a value is a change, too.


def numbers(config):
    "Prefixes and stop latents of a model, in training mode, with the count of its parameters."
    import torch

    settings = config.latent
    model, states = network(settings).train(), torch.randn(2, 6, 64, generator=torch.Generator().manual_seed(3))
    states[1] = 0
    if settings.pooling == "mean": states = states[:, :1]
    torch.manual_seed(4)
    with torch.no_grad(): made = model.prefix(model.think(model.latents(states)))
    return sum(p.numel() for p in model.parameters()), made.tolist(), model.stop.tolist()


def begun(config):
    "Vectors that the decoder reads before a target."
    import torch

    model = network(config.latent)
    return model.decoder_inputs(torch.zeros(1, config.latent.prefix_len, 64)).shape


def stopping(config):
    "Which of some latents, nearer and nearer to the stop latents, mean stop?"
    import torch

    model = network(config.latent)
    away = torch.randn(model.stop.shape, generator=torch.Generator().manual_seed(5))
    return [bool(model.is_stop(model.stop[None] + share * away[None])) for share in (.3, .1, .05, .03, .01, .001)]


def latent_losses(config):
    import torch
    from cockatoo.latent.losses import latent_loss

    a, b = torch.randn(2, 4, 8, 16, generator=torch.Generator().manual_seed(6))
    return latent_loss(a, b, config.latent).item()


def widths(config):
    "The error that names a width which is not that of the model, or the model."
    from cockatoo.latent.data import load
    from cockatoo.latent.loading import build

    return sum(p.numel() for p in build(config, load(config)).model.parameters())


def checkpoint(config):
    "Which checkpoint is asked for: the error names it."
    from cockatoo.latent.loading import frozen_decoder, frozen_encoder

    frozen_encoder(config.model.checkpoint) if config.latent.decoder_checkpoint.startswith("google/") else frozen_decoder(config.latent.decoder_checkpoint)


def attention(config):
    from cockatoo.latent.data import load
    from cockatoo.latent.loading import build

    return build(config, load(config)).model.encoder.config._attn_implementation


def targets(config):
    from cockatoo.latent.batches import target_tokens

    return target_tokens(["Anna and Ben will play tennis on Monday at one and meet at the station."], words(), config.latent.max_target_len)


def prompts(config):
    from cockatoo.latent.baselines import prompt_ids

    return prompt_ids(["Anna: Hi Ben, shall we play tennis on Monday? Ben: I am busy on Monday."], words(), config.latent)


def tokens(config):
    from cockatoo.latent.states import TextTokens

    return [list(row) for row in TextTokens(["Anna: Hi Ben, shall we play tennis?"], words(), config.model.max_length).rows]


def sampling(config):
    from cockatoo.latent.model import sampling_options

    return sampling_options(config.generation)


def plans(config):
    from cockatoo.latent.stages import plan_config, stage_plans

    found = stage_plans(config)
    return found, [plan_config(config, plan).training.model_dump() for plan in found]


def limits(config):
    from cockatoo.latent.inputs import corpus_limits
    from cockatoo.latent.stages import stage_plans

    return [corpus_limits(config, plan) for plan in stage_plans(config) if not plan.pairs]


def arguments(config):
    "What the trainer is told."
    from cockatoo.training.trainer import training_arguments, warmup_steps

    found = training_arguments(config, "unused").to_dict()
    return warmup_steps(config.training, 10_000), json.dumps({name: value for name, value in found.items() if "dir" not in name}, default=str)


def groups(config):
    from cockatoo.latent.training import latent_optimizer

    tiny = config.with_(**{"latent.encoder_hidden_dim": 64, "latent.decoder_hidden_dim": 64, "latent.adapter_num_heads": 2}).latent
    return [(group["lr"], group["weight_decay"]) for group in latent_optimizer(config, network(tiny)).param_groups]


def device(config):
    "The device on a machine with a GPU of Apple."
    from cockatoo.training.distributed import training_device

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.backends.mps.is_available", lambda: True)
        return training_device(config)


def accepted(config):
    from cockatoo.latent.training import check_settings

    return check_settings(config)


def splits(config):
    from cockatoo.latent.data import load

    return {name: rows["source"][:] for name, rows in load(config).splits.items()}


def texts(config):
    "The texts of the pretraining stages; the corpora are files."
    from cockatoo.latent.data import pretraining_texts
    from cockatoo.latent.inputs import corpus_limits
    from cockatoo.latent.stages import stage_plans
    from datasets import Dataset

    pair = {"source": ["a text"], "target": ["its target"]}
    data = SimpleNamespace(splits={"train": Dataset.from_dict(pair), "validation": Dataset.from_dict(pair)})
    return pretraining_texts(config, data, corpus_limits(config, stage_plans(config)[0]))


def rows(config):
    "Rows of the first stage of a prepared training: texts, what is to be written, and the first batch."
    from cockatoo.latent.inputs import StageRows
    from cockatoo.latent.training import LatentTraining

    training = LatentTraining(config).prepare()
    found = StageRows(training.inputs, training.plans[1], "train")
    batch = found.collator()([found.dataset[i] for i in range(3)])
    return found.sources, found.references, {name: value.tolist() for name, value in batch.items() if name != "rows"}


def encoded(config):
    "How many texts the encoder reads at a time while a training is prepared, and again in a second one."
    from cockatoo.latent.model import LatentModel
    from cockatoo.latent.training import LatentTraining

    sizes, encode = [], LatentModel.encode_tokens
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LatentModel, "encode_tokens", lambda self, ids, mask: sizes.append(len(ids)) or encode(self, ids, mask))
        for _ in range(2): LatentTraining(config).prepare()
    return sizes


def files(config, folder):
    "Files of the cache after a training was prepared."
    from cockatoo.latent.training import LatentTraining

    LatentTraining(config).prepare()
    found = [file for file in folder.rglob("*") if file.is_file() and "work" not in file.parts]
    return sorted((str(file.relative_to(folder)), file.stat().st_size) for file in found)


def run_report(config):
    "Metrics of a run of two stages, without the losses."
    import tempfile
    from pathlib import Path

    from cockatoo.training.train import train

    run = train(config, Path(tempfile.mkdtemp()) / "run", progress=False)
    found = run.metrics["validation"]
    after = {name: sorted(stage["after"]) for name, stage in found["stages"].items()}
    return after, {name: each.get("rows") for name, each in found["baselines"].items()}


def corpora(here, **changes):
    "Settings with three corpora of files."
    names = {"wikitext_dataset": "wiki", "arxiv_dataset": "arxiv", "english_pretrain_dataset": "english"}
    settings = {}
    for setting, name in names.items():
        file = here / f"{name}.jsonl"
        file.write_text("".join(json.dumps({"text": f"{name} text number {i}"}) + "\n" for i in range(20)))
        settings[f"corpora.{setting}"] = str(file)
    return settings | changes


SMALL = {"latent.encoder_hidden_dim": 64, "latent.decoder_hidden_dim": 64, "latent.pooling": "attention", "latent.latent_dim": 64}
SHORT = TINY | {"stages.pretrain_middle_epochs": 0, "stages.pretrain_adapter_epochs": 0, "stages.finetune_adapter_epochs": 0,
                "stages.finetune_middle_epochs": 1, "training.precision": "fp32"}
ONE = {"stages.pipeline_mode": "end_to_end"}

# setting: (new value, what it changes, further settings, size); without a size the document's own
WALK = {
    "latent.decoder_checkpoint": ("nobody/nothing", checkpoint),
    **{f"latent.{name}": (value, numbers, SMALL) for name, value in {
        "pooling": "mean", "pool_num_heads": 4, "latent_dim": 32, "latent_seq_len": 4, "prefix_len": 5, "middle_transformer_layers": 1,
        "middle_num_heads": 2, "middle_ffn_multiplier": 2., "middle_dropout": 0., "middle_use_rope": False, "adapter_num_heads": 2,
        "adapter_dropout": 0., "adapter_use_rope": False, "use_prefix_rope": False, "use_rmsnorm": False, "rmsnorm_eps": .05, "rope_base": 100.,
        "normalize_latent": False, "use_stop_latent": False, "stop_latent_init": "zeros", "stop_latent_seed": 3}.items()},
    "latent.prefix_after_bos": (False, begun, SMALL),
    "latent.encoder_hidden_dim": (96, widths, TINY, "tiny"),
    "latent.decoder_hidden_dim": (96, widths, TINY, "tiny"),
    "latent.num_encoder_unfrozen_layers": (1, plans, ONE),
    "latent.max_target_len": (5, targets),
    "latent.stop_latent_cosine_threshold": (.5, stopping, SMALL),
    "latent.stop_latent_l2_threshold": (3., stopping, SMALL),
    **{f"latent.{name}": (value, latent_losses) for name, value in {
        "latent_mse_weight": .5, "contrastive_weight": .5, "contrastive_temperature": .5}.items()},
    "latent.prompt": ("{text}: in short", prompts),
    "latent.prompt_max_length": (5, prompts),
    "latent.eval_rows": (0, run_report, SHORT | {"latent.eval_rows": 2}, "tiny"),
    "latent.baseline_rows": (2, run_report, SHORT | {"latent.baseline_rows": 4}, "tiny"),
    "latent.lora_rows": (8, run_report, SHORT, "tiny"),
    "stages.pipeline_mode": ("end_to_end", plans),
    "stages.run_preprocessing": (False, encoded, TINY, "tiny"),
    **{f"stages.{name}": (False, plans) for name in ("run_pretraining", "run_finetuning", "joint_finetuning")},
    **{f"stages.{name}": (True, plans) for name in ("freeze_encoder_compression_in_pipeline", "adapter_pretrain_use_middle")},
    "stages.pretrain_target": ("next_passage", plans),
    "stages.denoising": (.1, plans),
    "stages.passage_words": (5, rows, TINY | {"stages.pretrain_target": "next_passage"}, "tiny"),
    "stages.training_phase": ("identity", plans),
    **{f"stages.{stage}_{name}": (value, plans)
       for stage in ("pretrain_middle", "pretrain_draft", "pretrain_adapter", "finetune_middle", "finetune_adapter")
       for name, value in {"epochs": 9, "learning_rate": .5, "batch_size": 3, "max_samples": 5}.items()},
    **{f"stages.pretrain_draft_{name}": (value, plans, NORMAL | {"stages.pretrain_draft_epochs": 1})
       for name, value in {"learning_rate": .5, "batch_size": 3, "max_samples": 5}.items()},
    **{f"stages.{name}": (5, limits) for name in (
        "pretrain_middle_max_samples_wikitext", "pretrain_middle_max_samples_arxiv", "pretrain_middle_max_samples_english",
        "pretrain_adapter_max_samples_wikitext", "pretrain_adapter_max_samples_arxiv")},
    "corpora.train_split": ("test", splits, TINY | {"corpora.test_split": "train"}, "tiny"),
    "corpora.validation_split": ("test", splits, TINY | {"corpora.test_split": "validation"}, "tiny"),
    "corpora.test_split": ("validation", splits, TINY | {"corpora.validation_split": "test"}, "tiny"),
    "corpora.pretraining": ("both", texts, corpora),
    **{f"corpora.{name}": ("nobody/nothing", texts, corpora) for name in ("wikitext_dataset", "arxiv_dataset", "english_pretrain_dataset")},
    **{f"corpora.{name}": (2, texts, corpora) for name in ("wikitext_max_samples", "arxiv_max_samples")},
    "cache.dir": ("elsewhere", files, TINY, "tiny"),
    "cache.format": ("jsonl", accepted),
    "cache.skip_preprocessing_if_cached": (False, encoded, TINY, "tiny"),
    "cache.preprocess_batch_size": (4, encoded, TINY, "tiny"),
    "cache.preprocess_validation_fraction": (.5, texts, corpora),
    **{f"cache.{name}": (value, files, TINY, "tiny") for name, value in {
        "store_text": True, "store_input_ids": True, "store_attention_mask": True, "store_target_ids": False, "store_target_attention_mask": False,
        "store_embeddings_int8": False, "store_embeddings_fp16": True}.items()},
    "cache.use_embeddings_for_training": (False, rows, TINY, "tiny"),
    "training.learning_rate": (.5, groups),
    "training.weight_decay": (.5, groups),
    "training.num_epochs": (7, plans, ONE),
    **{f"training.{name}": (value, arguments) for name, value in {
        "batch_size": 7, "gradient_accumulation_steps": 7, "warmup_steps": 7, "gradient_checkpointing": False, "save_steps": 7}.items()},
    "training.precision": ("bf16", arguments, {"training.precision": "fp32"}),
    "model.max_length": (5, tokens),
    "model.checkpoint": ("nobody/nothing", checkpoint),
    "model.attention": ("eager", attention, TINY, "tiny"),
    "data.num_workers": (2, arguments),
    "data.source": ("nobody/nothing", splits, TINY, "tiny"),
    "data.max_samples": (5, splits, TINY, "tiny"),
    "compute.prefetch_factor": (9, arguments, {"data.num_workers": 2}),
    "compute.device": ("cpu", device, {"compute.device": "mps"}),
    "compute.compile": (True, arguments),
    "compute.compile_mode": ("default", arguments, {"compute.compile": True}),
    **{f"generation.{name}": (value, sampling) for name, value in {
        "temperature": .1, "max_new_tokens": 3, "do_sample": False, "top_p": .5, "top_k": 3}.items()},
}


def settings_to_walk():
    "Every setting of the four sections, and every setting that the document names."
    from cockatoo.core.settings import sections
    from cockatoo.latent.types import REFERENCE_NAMES

    own = {f"{section}.{name}" for section in SECTIONS for name in sections()[section].model_fields}
    return sorted(own | {path for path in REFERENCE_NAMES.values() if path})


def outcome(effect, config, folder):
    "What an effect returns, or the error that refuses the value."
    from cockatoo.core.errors import CockatooError

    try: return effect(config, folder) if effect is files else effect(config)
    except CockatooError as error: return f"{type(error).__name__}: {error}"


def test_the_walk_is_complete():
    assert sorted(WALK) == settings_to_walk()


@pytest.mark.parametrize("path", settings_to_walk())
def test_a_setting_changes_something(path, tmp_path, monkeypatch):
    "Accepted, changed from its default, and another outcome for it."
    from cockatoo.core.config import resolve

    value, effect, *rest = WALK[path]
    companions, size = rest[0] if rest else NORMAL, rest[1] if len(rest) > 1 else None
    if companions is corpora: companions = corpora(tmp_path)
    if path == "cache.dir": value = str(tmp_path / "second" / value)
    monkeypatch.setattr("cockatoo.training.trainer.on_cpu", lambda config: True)
    found = []
    for name, changes in ("first", companions), ("second", companions | {path: value}):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv("COCKATOO_CACHE", str(folder))
        config = resolve("latent", size=size, overrides=changes, hardware=False)
        found.append(outcome(effect, config, folder))
    assert config.get(path) == value != resolve("latent", size=size, overrides=companions, hardware=False).get(path)
    assert found[0] != found[1], f"{path} = {value!r} changes nothing"


def test_the_walk_can_fail():
    "A setting that nothing reads has no effect."
    from cockatoo.core.config import resolve

    base, other = (resolve("latent", overrides={"latent.eval_rows": rows}, hardware=False) for rows in (1, 2))
    assert plans(base) == plans(other) and latent_losses(base) == latent_losses(other)
