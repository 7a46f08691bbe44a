"DPO gives the loss and the gradients of TRL's DPOTrainer, and a decoder's folder is a Llama that TRL trains. Skipped where TRL is not installed."
import json
import math

import pytest

trl = pytest.importorskip("trl", reason="TRL is not installed (pip install trl)")

PAIRS = [{"prompt": f"Wait {i} minutes.", "chosen": f" timer {i}", "rejected": f" no timer for {i}, sorry"} for i in range(4)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    "Two decoders of one shape, saved as Llama folders: the model, and the reference."
    import torch

    from cockatoo.decoder.folders import save
    from cockatoo.decoder.model import DecoderConfig, DecoderForCausalLM
    from cockatoo.decoder.settings import TokenizerSettings
    from cockatoo.decoder.tokenizer import train_tokenizer

    tokenizer = train_tokenizer([json.dumps(pair) for pair in PAIRS] * 3, TokenizerSettings(vocab_size=320))
    found = {}
    for seed, name in enumerate(("model", "reference")):
        torch.manual_seed(seed)
        model = DecoderForCausalLM(DecoderConfig(
            vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
            max_position_embeddings=128, feed_forward="swiglu", initializer_range=.2))
        found[name] = save(model, tokenizer, tmp_path_factory.mktemp(name) / "model")
    return found


def make_trainer(folders, folder, **settings):
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    load = lambda name: AutoModelForCausalLM.from_pretrained(folders[name], dtype=torch.float32)
    arguments = trl.DPOConfig(
        output_dir=str(folder), per_device_train_batch_size=4, use_cpu=True, bf16=False, report_to="none", disable_tqdm=True, max_steps=3,
        gradient_checkpointing=False, save_strategy="no", logging_steps=1, **settings)
    return trl.DPOTrainer(
        model=load("model"), ref_model=load("reference"), args=arguments, train_dataset=Dataset.from_list(PAIRS),
        processing_class=AutoTokenizer.from_pretrained(folders["model"]))


@pytest.mark.parametrize("settings", [{"beta": .1}, {"beta": .5}], ids=["beta .1", "beta .5"])
def test_loss_and_gradients_equal_trl(folders, tmp_path, settings):
    import torch

    from cockatoo.decoder.batches import dpo_loss_sum, pair_log_probs
    from cockatoo.decoder.folders import load_model
    from cockatoo.decoder.packing import IGNORED

    trainer = make_trainer(folders, tmp_path, **settings)
    batch = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model, dict(batch))
    theirs.backward()
    wanted = {name: p.grad for name, p in trainer.model.named_parameters()}

    ours, reference = load_model(folders["model"]), load_model(folders["reference"])
    targets = batch["input_ids"][:, 1:].masked_fill(batch["completion_mask"][:, 1:] == 0, IGNORED)
    inputs = {"input_ids": batch["input_ids"][:, :-1], "targets": targets}
    with torch.no_grad():
        inputs["reference"] = pair_log_probs(reference, inputs).flatten()
    total, pairs = dpo_loss_sum(ours, inputs, beta=settings["beta"])
    loss = total / pairs
    loss.backward()
    assert abs(theirs.item() - math.log(2)) > .05  # not the trivial start
    torch.testing.assert_close(loss, theirs, rtol=1e-4, atol=1e-5)
    for name, p in ours.named_parameters():
        torch.testing.assert_close(p.grad, wanted[name], rtol=1e-3, atol=1e-5, msg=lambda text: f"{name}: {text}")


def test_trl_trains_the_folder(folders, tmp_path):
    trainer = make_trainer(folders, tmp_path, beta=.1, learning_rate=1e-3)
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert len(losses) == 3 and losses[-1] < losses[0], losses
