#!/usr/bin/env python
"""Fine-tuning an embedder: sentence-transformers' trainer with its documented recipe, and cockatoo, on the same pairs.

Both start from MiniLM, see the same pairs for the same epochs with the same batch size and length, in turns, and are evaluated
by the same code on the same validation split; times are medians. Target: half the time at the same or better recall@1.

    python benchmarks/embed_training.py --data ../shared/data/debian
    python benchmarks/embed_training.py --data ../shared/data/debian --samples 2560 --json
"""
import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

CHECKPOINT = "sentence-transformers/all-MiniLM-L6-v2"


def settings(options):
    "The resolved configuration of the run, and of the data of both."
    from cockatoo.core.config import resolve

    overrides = {"data.source": options.data, "data.query_column": options.query_column, "data.document_column": options.document_column,
                 "data.max_samples": options.samples, "training.num_epochs": options.epochs, "training.eval_strategy": "no",
                 "training.save_steps": 1_000_000}
    return resolve("minilm-embed", overrides=overrides)


def stock(config, data, folder):
    "sentence-transformers: MultipleNegativesRankingLoss, no duplicates in a batch, rate 2e-5, warm-up of a tenth."
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.losses import MultipleNegativesRankingLoss
    from sentence_transformers.training_args import BatchSamplers

    from cockatoo.models.checkpoints import find_checkpoint

    model = SentenceTransformer(str(find_checkpoint(CHECKPOINT)), device="cpu")
    model.max_seq_length = config.model.max_length
    rows = Dataset.from_dict({"anchor": data.splits["train"]["query"][:], "positive": data.splits["train"]["document"][:]})
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder/"stock"), num_train_epochs=config.training.num_epochs, per_device_train_batch_size=config.training.batch_size,
        learning_rate=2e-5, warmup_steps=0.1, batch_sampler=BatchSamplers.NO_DUPLICATES, save_strategy="no", report_to="none", disable_tqdm=True,
        bf16=config.training.precision == "bf16", use_cpu=True)
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=rows, loss=MultipleNegativesRankingLoss(model))
    start, busy = time.perf_counter(), time.process_time()
    trainer.train()
    took = time.perf_counter() - start, time.process_time() - busy
    model.max_seq_length = config.model.inference_max_length
    model.save(str(folder/"theirs"))
    return took, folder/"theirs"


def ours(config, data, folder):
    "cockatoo: the stage of the run, without what is measured before and after."
    from cockatoo.core.files import write_atomic, write_json
    from cockatoo.embedder.model import save
    from cockatoo.embedder.training import EmbedderTraining
    from cockatoo.training.run import Run
    from cockatoo.training.stage import run_stage

    training, run = EmbedderTraining(config).prepare(), Run(folder/"run")
    write_atomic(run.path/"config.yaml", config.to_yaml())
    write_json(run.path/"data.json", training.report)
    stage, = training.stages()
    start, busy = time.perf_counter(), time.process_time()
    if training.new_axes: training.find_axes()  # stages() has done both; they count, what is measured before and after does not
    if training.near is not None: training.nearest_rows()
    run_stage(stage, run, config, progress=False)
    training.renew_axes()
    took = time.perf_counter() - start, time.process_time() - busy
    save(training.model, training.tokenizer, folder/"ours")
    return took, folder/"ours"


def judge(config, data, folder):
    "The report on the validation split of a finished folder."
    from cockatoo.embedder.evaluation import EmbedderEvaluator, report_vectors
    from cockatoo.embedder.model import reload

    model, tokenizer, _ = reload(folder)
    return report_vectors(EmbedderEvaluator(model, tokenizer, data, config).vectors("validation"), (128,), resamples=0)


def main():
    "Train both, print the table (or, with --json, one JSON object); exit status 1 when the target is missed."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", default=str(Path(__file__).resolve().parents[2]/"shared"/"data"/"debian"))
    parser.add_argument("--query-column", default="title")
    parser.add_argument("--document-column", default="text")
    parser.add_argument("--samples", type=int, help="training pairs (default: all)")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1, help="trainings of each")
    parser.add_argument("--save", metavar="FILE", help="also write the JSON object to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    if not Path(options.data).exists():
        print(f"{options.data}: no such data; name it with --data", file=sys.stderr)
        return 2
    import torch
    from goemotions import machine

    from cockatoo.embedder.data import load_pairs

    config = settings(options)
    data, made = load_pairs(config.data), []
    with tempfile.TemporaryDirectory() as home:
        ways, took = {"sentence-transformers": stock, "cockatoo": ours}, defaultdict(list)
        for number in range(options.rounds):
            for name, train in ways.items():
                clock, folder = train(config, data, Path(home)/str(number))
                took[name].append((*clock, folder))
        for name in ways:
            clock, busy = (statistics.median(times) for times in list(zip(*took[name]))[:2])
            report = judge(config, data, took[name][0][2])
            made.append({"trainer": name, "seconds": round(clock, 1), "processor_seconds": round(busy, 1)} | {
                key: round(report[key], 4) for key in ("recall_at_1", "recall_at_10", "mrr_at_10")} | {
                "recall_at_1_width_128": round(report["groups"]["width 128"]["recall_at_1"], 4)})
    theirs, own = made
    for row in made:
        row["ratio"] = round(theirs["seconds"] / row["seconds"], 2)
    result = {"benchmark": "embed_training", "rows": made, "pairs": len(data.splits["train"]), "precision": config.training.precision,
              "batch_size": config.training.batch_size, "max_length": config.model.max_length, "rounds": options.rounds,
              "threads": torch.get_num_threads(), "machine": machine(),
              "within": own["ratio"] >= 2 and own["recall_at_1"] >= theirs["recall_at_1"]}
    if options.save:
        Path(options.save).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(result))
    else:
        for row in made:
            print("{trainer:24}{seconds:9,.1f} s {ratio:6.2f} ×   recall@1 {recall_at_1:.4f}, at width 128 {recall_at_1_width_128:.4f}, recall@10 {recall_at_10:.4f}".format(**row))
        print("half the time at the same recall:", "yes" if result["within"] else "NO")
    return int(not result["within"])


if __name__ == "__main__":
    sys.exit(main())
