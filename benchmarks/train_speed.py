"""Training speed: the stock Trainer, a plain fp32 loop and cockatoo on the same model, rows and batch size."""
import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

BUDGET = 3.0  # design section 11: at least three times the stock Trainer
ALL_TRAINED = {"model.freeze_embeddings": False, "model.frozen_layers": 0, "model.dropout": None,
               "training.learning_rate": 1e-4}  # the same work as the others do; the preset freezes what need not be trained


def prepare(options, folder):
    "Write the rows and the starting weights that all three share; return the resolved config that reads them."
    from cockatoo.core.config import resolve
    from cockatoo.core.registry import builder, spec

    overrides = {"data.source": options.data, "data.max_samples": options.samples,
                 "training.batch_size": options.batch_size,
                 "training.gradient_accumulation_steps": 1, "training.num_epochs": options.epochs,
                 "training.eval_strategy": "no", "training.early_stopping_patience": 0,
                 "training.save_steps": 1_000_000,  # the others save nothing on the way
                 "thresholds.bootstrap_resamples": 0}
    config = resolve(options.model_type, size=options.size, overrides=overrides)
    data = builder(spec(config.model_type), "data")(config.data)
    rows = {name: list(split) for name, split in data.splits.items()}
    names = list(data.labels)
    for split in rows:
        with open(folder / f"{split}.jsonl", "w", encoding="utf-8") as out:
            for row in rows[split] if split == "train" else rows[split][:options.judge or 64]:
                labels = [name for name, target in zip(names, row["targets"]) if target >= .5]
                out.write(json.dumps({"text": row["text"], "labels": labels}) + "\n")
    texts = [row["text"] for row in rows["train"]]
    model, tokenizer = builder(spec(config.model_type), "load")(config, data.labels, texts)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    targets = [[float(x) for x in row["targets"]] for row in rows["train"]]
    # a local checkpoint is read at its own size: `size` is left at the default of the type
    overrides |= {"data.source": str(folder), "data.max_samples": None, "data.labels": names,
                  "model.checkpoint": str(folder / "model"), "model.max_length": config.model.max_length}
    frozen = resolve(options.model_type, overrides=overrides)
    return {"cockatoo, all trained": frozen.with_(**ALL_TRAINED), "cockatoo, preset": frozen}, texts, targets


def stock_model(config, labels):
    "The saved weights as the stock class reads them: float32, multi-label loss."
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(
        config.model.checkpoint, num_labels=labels, problem_type="multi_label_classification", dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(config.model.checkpoint)


def stopwatch():
    "A Trainer callback: `.seconds` from the start of training to the end of the last optimiser step."
    from transformers import TrainerCallback

    class Stopwatch(TrainerCallback):
        seconds, steps = 0.0, 0

        def on_train_begin(self, *_, **__):
            self.start = time.perf_counter()

        def on_step_end(self, *_, **__):
            self.seconds, self.steps = time.perf_counter() - self.start, self.steps + 1

    return Stopwatch()


def stock(config, texts, targets, folder):
    "The stock Trainer: nothing set but batch size and epochs, and no saving or reporting."
    from datasets import Dataset
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    model, tokenizer = stock_model(config, len(targets[0]))
    encoded = tokenizer(texts, truncation=True, max_length=config.model.max_length)
    rows = Dataset.from_dict({**encoded, "labels": targets})
    watch = stopwatch()
    arguments = TrainingArguments(
        output_dir=str(folder / "stock"), per_device_train_batch_size=config.training.batch_size,
        num_train_epochs=config.training.num_epochs, save_strategy="no", report_to="none", disable_tqdm=True)
    Trainer(model, arguments, data_collator=DataCollatorWithPadding(tokenizer), train_dataset=rows,
            callbacks=[watch]).train()
    watch.result = model, tokenizer
    return watch


def plain(config, texts, targets, folder):
    "The loop of a tutorial: shuffle, pad to the longest row of the batch, float32, AdamW, clip at 1."
    import torch
    from torch.utils.data import DataLoader

    model, tokenizer = stock_model(config, len(targets[0]))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).train()
    encoded = tokenizer(texts, truncation=True, max_length=config.model.max_length)
    rows = [{**{key: encoded[key][i] for key in encoded}, "labels": targets[i]} for i in range(len(texts))]
    loader = DataLoader(rows, batch_size=config.training.batch_size, shuffle=True,
                        collate_fn=lambda batch: tokenizer.pad(batch, return_tensors="pt"))
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.training.learning_rate)
    watch = stopwatch()
    watch.on_train_begin()
    for batch in (batch for _ in range(config.training.num_epochs) for batch in loader):
        loss = model(**batch.to(device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        watch.on_step_end()
    watch.result = model, tokenizer
    return watch


def ours(config, texts, targets, folder):
    "`cockatoo.train` with the preset of the model type: only batch size, epochs and evaluation are set as above."
    from cockatoo.classifier import training
    from cockatoo.training.train import train

    watch, keep, before = stopwatch(), training.keep_states, []

    def timed(*args):
        "What frozen layers give is computed before the first step, and counts."
        start = time.perf_counter()
        try:
            return keep(*args)
        finally:
            before.append(time.perf_counter() - start)

    new = folder / f"ours{time.time_ns()}"  # with a cache of its own: nothing is there yet
    with mock.patch.object(training, "keep_states", timed):
        run = train(config.with_(**{"data.cache_dir": f"{new}-cache"}), new, callbacks=[watch], progress=False)
    watch.seconds += sum(before)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    watch.result = (AutoModelForSequenceClassification.from_pretrained(run.model_dir), AutoTokenizer.from_pretrained(run.model_dir))
    return watch


def judged(config, model, tokenizer):
    "Macro-F1 on the validation rows, the thresholds of each half tuned on the other half."
    import numpy as np

    from cockatoo.classifier.data import load_data
    from cockatoo.classifier.metrics import classification_report
    from cockatoo.classifier.thresholds import probabilities, tune_thresholds
    from cockatoo.classifier.model import score
    from cockatoo.classifier.training import targets_of

    rows = load_data(config.data).splits["validation"]
    logits, (targets, mask) = score(model.cpu().eval(), tokenizer, rows, config.model.max_length), targets_of(rows)
    halves, predicted = (slice(0, None, 2), slice(1, None, 2)), np.zeros(logits.shape, np.float32)
    for tuned, used in (halves, halves[::-1]):
        predicted[used] = probabilities(logits[used]) >= tune_thresholds(probabilities(logits[tuned]), targets[tuned], mask[tuned])
    return classification_report(predicted * 20 - 10, targets, mask)["f1_macro"]


def measure(options):
    "Alternate them in one process, so that drift of the machine hits all alike; drop the first, warming round."
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        configs, texts, targets = prepare(options, folder)
        contestants = {"stock Trainer, defaults": stock, "plain fp32 loop": plain, **dict.fromkeys(configs, ours)}
        rates, quality = {name: [] for name in contestants}, {}
        any_config = configs["cockatoo, preset"]
        for round_ in range(options.rounds + 1):
            few = slice(None) if round_ else slice(4 * any_config.training.batch_size)
            for name, contestant in contestants.items():
                whole = contestant is ours  # its rows are files, so that its warming round is a whole one
                count = any_config.training.num_epochs * len(texts if whole else texts[few])
                watch = contestant(configs.get(name, any_config), texts[few], targets[few], folder)
                if round_:
                    rates[name].append(count / watch.seconds)
                if round_ and options.judge and name not in quality:
                    quality[name] = judged(any_config, *watch.result)
                    print(f"{name}: macro-F1 {quality[name]:.4f}", file=sys.stderr, flush=True)
                print(f"round {round_}/{options.rounds}: {name}: {count / watch.seconds:.1f} samples/s"
                      f" ({watch.steps} steps)", file=sys.stderr, flush=True)
    base = statistics.median(rates["stock Trainer, defaults"])
    rows = [{"setup": name, "samples_per_second": round(statistics.median(values), 1), "lowest": round(min(values), 1),
             "highest": round(max(values), 1), "ratio_to_stock": round(statistics.median(values) / base, 2),
             **({"f1_macro": round(quality[name], 4)} if quality else {})} for name, values in rates.items()]
    best = next(row for row in rows if row["setup"] == "cockatoo, preset")
    from goemotions import machine
    return {"benchmark": "train_speed", "model_type": str(any_config.model_type), "samples": len(texts),
            "epochs": options.epochs, "rounds": options.rounds, "batch_size": any_config.training.batch_size,
            "precision": any_config.training.precision, "machine": machine(), "rows": rows, "target_ratio": BUDGET,
            "within": best["ratio_to_stock"] >= BUDGET}


def main():
    "Measure, print the table (or, with --json, one JSON object); exit status 1 when ours is below the target."
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", default="demo", help="training rows: a file, a folder or demo (default demo)")
    parser.add_argument("--model-type", default="minilm", help="a classifier (default minilm)")
    parser.add_argument("--size", default=None, help="`tiny` for a quick look without real weights")
    parser.add_argument("--samples", type=int, default=640, help="training rows a round (default 640)")
    parser.add_argument("--batch-size", type=int, default=64, help="rows a step, the same for all (default 64, as in the preset)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds measured after the warming one (default 3)")
    parser.add_argument("--epochs", type=int, default=1, help="passes over them (default 1; the preset has 3, and computes its frozen layers once)")
    parser.add_argument("--judge", type=int, default=0, metavar="N", help="also report macro-F1 on N validation rows")
    parser.add_argument("--save", metavar="FILE", help="also write the JSON object to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    from transformers.utils import logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with redirect_stdout(sys.stderr):  # the stock Trainer prints its log there
        result = measure(options)
    if options.save:
        Path(options.save).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{'setup':26}{'samples/s':>11}{'lowest':>9}{'highest':>9}{'ratio':>8}")
        for row in result["rows"]:
            print(f"{row['setup']:26}{row['samples_per_second']:11.1f}{row['lowest']:9.1f}{row['highest']:9.1f}"
                  f"{row['ratio_to_stock']:8.2f}")
        print(f"target: {BUDGET} x stock; reached: {'yes' if result['within'] else 'NO'}")
    return int(not result["within"])


if __name__ == "__main__":
    sys.exit(main())
