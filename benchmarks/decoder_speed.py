"""A decoder beside LlamaForCausalLM of the same shape: training under the stock Trainer, peak memory, and generation with a cache."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

FASTER, SMALLER = 1.5, 0.7  # issue: at least 1.5 times the tokens a second, at most 0.7 times the memory
SHAPES = {"tiny": (256, 4, 4, 1024), "medium": (768, 12, 12, 3072), "large": (1600, 32, 25, 6400)}  # document 003
SPECIAL = 10  # Control tokens; the texts of this benchmark have none


def write_tokens(folder, options):
    "A token file as both read it, its tokenizer, and a model of random weights that both start from."
    import numpy as np
    import torch

    from cockatoo.decoder.folders import save
    from cockatoo.decoder.model import DecoderConfig, DecoderForCausalLM
    from cockatoo.decoder.settings import TokenizerSettings
    from cockatoo.decoder.tokenizer import train_tokenizer

    draw = np.random.default_rng(0)
    # words of random letters, so that a vocabulary of any size can be learned
    words = ["".join(draw.choice(list("abcdefghijklmnopqrstuvwxyz"), 7)) for _ in range(options.vocabulary)]
    tokenizer = train_tokenizer((" ".join(words[i:i + 50]) for _ in range(2) for i in range(0, len(words), 50)), TokenizerSettings(vocab_size=options.vocabulary))
    rows = draw.integers(SPECIAL, len(tokenizer), (options.batch_size * (options.steps + 1), options.length + 1)).astype(np.uint16)
    for name in ("train", "validation"):
        np.save(folder / f"{name}.npy", rows if name == "train" else rows[:2])
    width, layers, heads, inner = SHAPES[options.size]
    torch.manual_seed(0)
    model = DecoderForCausalLM(DecoderConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner,
        max_position_embeddings=options.length, feed_forward="swiglu", tie_word_embeddings=True))
    save(model, tokenizer, folder / "model")
    return len(tokenizer)


class Stopwatch:
    "From the second optimiser step to the last: the first allocates, compiles and warms up."

    def callback(self):
        from transformers import TrainerCallback

        class Watch(TrainerCallback):
            steps, seconds = -1, 0.0

            def on_step_end(self, args, state, control, **kwargs):
                self.steps += 1
                if self.steps == 0:
                    self.start = time.perf_counter()
                self.seconds = time.perf_counter() - self.start

        self.watch = Watch()
        return self.watch


def stock(folder, options):
    "LlamaForCausalLM under the stock Trainer: rows of one length, batch size, steps and rate as below, the rest its defaults."
    import numpy as np
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments, default_data_collator

    tokens = np.load(folder / "train.npy")[:, :-1].astype(np.int64)
    rows = Dataset.from_dict({"input_ids": tokens, "labels": tokens})
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    stopwatch = Stopwatch()
    arguments = TrainingArguments(
        output_dir=str(folder / "stock"), per_device_train_batch_size=options.batch_size, max_steps=options.steps + 1, learning_rate=1e-4,
        bf16=native_bf16(), use_cpu=not torch.cuda.is_available(), save_strategy="no", report_to="none", disable_tqdm=True, logging_strategy="no")
    Trainer(model, arguments, train_dataset=rows, data_collator=default_data_collator, callbacks=[stopwatch.callback()]).train()
    return stopwatch.watch


def ours(folder, options):
    "`cockatoo.train` from the same weights, on the same token file, with AdamW."
    from cockatoo.core.config import resolve
    from cockatoo.training.train import train

    width, layers, heads, inner = SHAPES[options.size]
    config = resolve("decoder", size=options.size, overrides={
        "model.checkpoint": str(folder / "model"), "data.source": str(folder), "decoder.d_model": width, "decoder.n_layers": layers,
        "decoder.n_heads": heads, "decoder.d_ff": inner, "decoder.feed_forward": "swiglu", "decoder.qk_norm": False, "decoder.tie_embeddings": True,
        "decoder.sample_tokens": 0, "model.max_length": options.length, "model.inference_max_length": options.length,
        "training.batch_size": options.batch_size, "training.gradient_accumulation_steps": 1, "training.max_steps": options.steps + 1,
        "training.learning_rate": 1e-4, "training.optimizer": "adamw", "training.eval_strategy": "no", "training.save_steps": 1_000_000,
        "training.logging_steps": 1_000_000, "data.cache_dir": str(folder / "cache")})
    stopwatch = Stopwatch()
    train(config, folder / f"run{time.time_ns()}", callbacks=[stopwatch.callback()], progress=False)
    return stopwatch.watch


def native_bf16():
    "Does this machine multiply bfloat16 itself?"
    from cockatoo.core.hardware import detect

    return detect().native_bf16


def peak_megabytes():
    "The most memory that this process has used so far: of the graphics card if there is one, else resident."
    import resource

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def one_training(name, folder, options):
    "Train in this process; what it took as JSON."
    import datasets
    import torch
    import transformers

    import cockatoo.decoder.training  # noqa: F401  Both have the same libraries in memory before they begin
    from transformers import Trainer  # noqa: F401

    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if options.threads:
        torch.set_num_threads(options.threads)
    before = peak_megabytes()
    watch = {"stock": stock, "ours": ours}[name](folder, options)
    tokens = watch.steps * options.batch_size * options.length
    return {"tokens_per_second": tokens / watch.seconds, "megabytes": peak_megabytes() - before, "steps": watch.steps}


def one_generation(folder, options):
    "Both ways to generate, in turn in this process: tokens a second, and whether the texts are the same."
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from cockatoo.core.settings import GenerationSettings
    from cockatoo.decoder.folders import reload
    from cockatoo.decoder.generation import generate
    from cockatoo.decoder.tokenizer import control_tokens

    if options.threads:
        torch.set_num_threads(options.threads)
    model, tokenizer, _ = reload(folder / "model")
    tokens = control_tokens(tokenizer)
    llama = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device), llama.to(device)
    AutoTokenizer.from_pretrained(folder / "model")
    settings, found = GenerationSettings(max_new_tokens=options.new_tokens), {}
    draw = torch.Generator().manual_seed(1)
    for rows in (1, 8):
        prompts = torch.randint(SPECIAL, len(tokenizer), (rows, 32), generator=draw)
        ways = {
            "stock": lambda: llama.generate(
                prompts.to(device), attention_mask=torch.ones_like(prompts).to(device), max_new_tokens=options.new_tokens, do_sample=False,
                suppress_tokens=[tokens.pad, tokens.unk, tokens.bos], pad_token_id=tokens.pad, eos_token_id=-1)[:, 32:].tolist(),
            "ours": lambda: generate(model, tokenizer, prompts.tolist(), settings, stops=(-1,))}
        rates, texts = {name: [] for name in ways}, {}
        for round_ in range(options.rounds + 1):
            for name, way in ways.items():
                start = time.perf_counter()
                texts[name] = way()
                if round_:
                    rates[name].append(rows * options.new_tokens / (time.perf_counter() - start))
        found[rows] = {"rates": rates, "equal": texts["stock"] == texts["ours"]}
    return found


def in_process(words, folder, options):
    "Run this script for one measurement in a process of its own; what it printed."
    command = [sys.executable, __file__, *words, "--folder", str(folder)]
    for name in ("size", "vocabulary", "length", "batch_size", "steps", "rounds", "new_tokens", "threads"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ, TOKENIZERS_PARALLELISM="false"))
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed with exit status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(options):
    "Take turns, each training in a process of its own; the first round warms up and is dropped."
    from cockatoo.core.hardware import matmul_peak
    from cockatoo.decoder.folders import load_model
    from cockatoo.training.callbacks import flops_per_token
    from goemotions import machine

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        vocabulary = write_tokens(folder, options)
        found = {"stock": [], "ours": []}
        for round_ in range(options.rounds):
            for name, results in found.items():
                results.append(in_process(["--one", name], folder, options))
                print(f"round {round_ + 1}/{options.rounds}: {name}: {results[-1]['tokens_per_second']:,.0f} tokens/s, "
                      f"{results[-1]['megabytes']:,.0f} MB", file=sys.stderr, flush=True)
        generation = in_process(["--one", "generation"], folder, options)
        flops = flops_per_token(load_model(folder / "model").requires_grad_(True))
    precision = "bf16" if native_bf16() else "fp32"
    import torch

    peak = matmul_peak(precision, "cuda" if torch.cuda.is_available() else "cpu")
    median = lambda name, what: statistics.median(result[what] for result in found[name])
    rows = []
    for name, setup in (("stock", "LlamaForCausalLM, stock Trainer"), ("ours", "cockatoo")):
        rate = median(name, "tokens_per_second")
        rows.append({"work": "training", "setup": setup, "tokens_per_second": round(rate), "ratio_to_stock": round(rate / median("stock", "tokens_per_second"), 2),
                     "share_of_peak": round(rate * flops / peak, 3), "megabytes": round(median(name, "megabytes")),
                     "memory_to_stock": round(median(name, "megabytes") / median("stock", "megabytes"), 2)})
    for count, result in generation.items():
        base = statistics.median(result["rates"]["stock"])
        for name, setup in (("stock", "generate of transformers"), ("ours", "cockatoo")):
            rate = statistics.median(result["rates"][name])
            rows.append({"work": f"generation, {count} row{'s' if count != '1' else ''}", "setup": setup, "tokens_per_second": round(rate),
                         "ratio_to_stock": round(rate / base, 2), "equal_tokens": result["equal"]})
    ratios = [row["ratio_to_stock"] for row in rows if row["setup"] == "cockatoo"]
    memory = next(row["memory_to_stock"] for row in rows if row["setup"] == "cockatoo" and "memory_to_stock" in row)
    equal = all(result["equal"] for result in generation.values())
    return {"benchmark": "decoder_speed", "size": options.size, "vocabulary": vocabulary, "length": options.length, "batch_size": options.batch_size,
            "steps": options.steps, "rounds": options.rounds, "precision": precision, "threads": options.threads or torch.get_num_threads(), "machine": machine(),
            "rows": rows, "target_ratio": FASTER, "target_memory": SMALLER, "within": min(ratios) >= FASTER and memory <= SMALLER and equal}


def main():
    "Measure, print the table (or, with --json, one JSON object); exit status 1 when a target is missed."
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--size", default="tiny", choices=list(SHAPES), help="a shape of document 003 (default tiny)")
    parser.add_argument("--vocabulary", type=int, default=32000, help="tokens (default 32000)")
    parser.add_argument("--length", type=int, default=512, help="positions of a row (default 512)")
    parser.add_argument("--batch-size", type=int, default=8, help="rows a step (default 8)")
    parser.add_argument("--steps", type=int, default=8, help="steps measured after a warming one (default 8)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default 3)")
    parser.add_argument("--new-tokens", type=int, default=128, help="tokens to generate (default 128)")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch (default: all cores)")
    parser.add_argument("--save", metavar="FILE", help="also write the JSON object to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--one", choices=("stock", "ours", "generation"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with redirect_stdout(sys.stderr):
        if options.one == "generation":
            result = one_generation(options.folder, options)
        elif options.one:
            result = one_training(options.one, options.folder, options)
        else:
            result = measure(options)
    if options.one:
        return print(json.dumps(result))
    if options.save:
        Path(options.save).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(result))
    else:
        for row in result["rows"]:
            print(f"{row['work']:20}{row['setup']:34}{row['tokens_per_second']:>9,} tokens/s{row['ratio_to_stock']:>7.2f}"
                  + (f"{row['share_of_peak']:>7.0%} of peak{row['megabytes']:>7,} MB{row['memory_to_stock']:>6.2f}" if "megabytes" in row else
                     f"   {'equal tokens' if row['equal_tokens'] else 'DIFFERENT TOKENS'}"))
        print(f"targets: {FASTER} x stock, {SMALLER} x its memory, equal tokens; reached: {'yes' if result['within'] else 'NO'}")
    return int(not result["within"])


if __name__ == "__main__":
    sys.exit(main())
