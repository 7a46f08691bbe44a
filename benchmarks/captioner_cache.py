"""The captioner's feature cache: epochs over generated scenes with a frozen tower, without the cache and with it, in one run."""
# The contestants train the same model on the same rows in the same order with the same random numbers, an epoch each in turn, so that a busy
# machine slows all of them alike. What differs is where the vectors come from: the tower, each epoch; or the disk, after the tower has seen each
# image once ("filling", timed on its own). Over five epochs the cache cannot save more than four fifths of the tower's work, filling included;
# the target is that of an epoch after the filling. How much an epoch gains depends on how large the tower is beside the rest: with --tower and
# --language other proportions can be tried.
import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from goemotions import machine

TARGET, SIZE, LOSS = 5.0, 155.0, {"fp16": 1e-3, "int8": 2e-2}  # times faster; kB an image; largest difference in loss (nats a token)


def write_parts(options, folder, captions):
    "A SigLIP tower and a Llama with random weights, as two folders that the captioner's own loading reads."
    import torch
    from transformers import (LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, SiglipImageProcessorPil, SiglipVisionConfig,
                              SiglipVisionModel)
    from transformers.utils import logging

    from cockatoo.models.tiny import byte_pieces

    logging.disable_progress_bar()
    torch.manual_seed(0)
    width, layers, patch = options.tower
    SiglipVisionModel(SiglipVisionConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=max(width // 64, 1),
        image_size=options.size, patch_size=patch)).save_pretrained(folder / "tower")
    SiglipImageProcessorPil(size={"height": options.size, "width": options.size}).save_pretrained(folder / "tower")
    raw = byte_pieces(captions, 400, ["<|endoftext|>", "<pad>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|endoftext|>", pad_token="<pad>")
    width, layers = options.language
    LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer) + 8, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers, tie_word_embeddings=True,
        num_attention_heads=max(width // 32, 1), num_key_value_heads=max(width // 64, 1), max_position_embeddings=1024,
        bos_token_id=0, eos_token_id=0, pad_token_id=1)).save_pretrained(folder / "language")
    tokenizer.save_pretrained(folder / "language")


class Contestant:
    "One model in training, and what it sees."

    def __init__(self, name, config, data, root):
        import torch
        from cockatoo.captioner.batches import CaptionCollator, ImageLoader, caption_tokens
        from cockatoo.data.features import cached_features
        from cockatoo.captioner import model as captioner

        self.name, self.within, self.filling, self.kilobytes, self.seconds, self.losses = name, None, None, None, [], []
        self.model, processor, _ = captioner.load(config)
        prompt = captioner.prompt_ids(processor, self.model)
        self.rows, self.collate = {}, {}
        for split in ("train", "validation"):
            visual = ImageLoader(data.splits[split], processor.image_processor)
            if name != "off":
                self.within, start = captioner.with_encoded_images, time.perf_counter()
                visual = cached_features(
                    range(len(data.splits[split])), data.splits[split].with_format("numpy")["digest"][:],
                    lambda pixels: captioner.encode_images(self.model, pixels), captioner.vision_digest(self.model, processor),
                    root, name, prepare=visual)
                if split == "train": self.filling = time.perf_counter() - start
            self.rows[split] = list(caption_tokens(data.splits[split], processor.tokenizer, config.model.max_length, prompt)[0])
            self.collate[split] = CaptionCollator(visual, processor.tokenizer.pad_token_id, len(prompt))
        if name != "off":
            images = sum(len(data.splits[s]) for s in self.rows)
            self.kilobytes = sum(f.stat().st_size for f in root.rglob(f"*-{name}-*/*.arrow")) / images / 1000
        rates = captioner.part_rates(self.model, config)
        groups = [{"params": [p for n, p in self.model.named_parameters() if p.requires_grad and part in n.split(".")], "lr": rate}
                  for part, rate in rates.items()]
        self.optimizer = torch.optim.AdamW(groups)

    def losses_of(self, split, order, batch):
        "The loss of each batch, in the manner of the model: features, or pixels."
        from contextlib import nullcontext

        from cockatoo.metrics.losses import next_token_loss
        with self.within(self.model) if self.within else nullcontext():
            for start in range(0, len(order), batch):
                inputs = self.collate[split]([self.rows[split][i] for i in order[start:start + batch]])
                inputs.pop("rows")
                targets, mask = inputs.pop("labels"), inputs.pop("label_mask")
                yield next_token_loss(self.model(**inputs).logits, targets, mask)

    def epoch(self, number, batch):
        "One pass over the training rows, timed; then the loss on the validation rows."
        import torch
        torch.manual_seed(number)  # the order, and what dropout drops
        order, found, start = torch.randperm(len(self.rows["train"])).tolist(), [], time.perf_counter()
        self.model.train()
        for loss in self.losses_of("train", order, batch):
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            found.append(loss.item())
        self.seconds.append(time.perf_counter() - start)
        self.model.eval()
        with torch.no_grad():
            held = [loss.item() for loss in self.losses_of("validation", list(range(len(self.rows["validation"]))), batch)]
        self.losses.append({"train": statistics.fmean(found), "validation": statistics.fmean(held)})


def measure(options, folder):
    "Every contestant, trained in turn."
    from cockatoo.core.config import resolve
    from cockatoo.captioner.data import load_captions
    from cockatoo.captioner.scenes import write_scenes

    source = write_scenes(folder / "scenes", (options.images, max(options.images // 10, 8), 8), options.size)
    captions = [json.loads(line)["alt_text"] for line in (source / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    write_parts(options, folder, captions)
    config = resolve("captioner", overrides={
        "model.checkpoint": str(folder / "tower"), "captioner.decoder_checkpoint": str(folder / "language"),
        "data.source": str(source), "data.cache_dir": str(folder / "cache"), "training.gradient_checkpointing": False,
        "captioner.language_training": options.train, "lora.learning_rate": options.rate, "training.learning_rate": options.rate})
    data = load_captions(config.data, config.captioner)
    contestants = [Contestant(name, config, data, folder / "cache") for name in ("off", "fp16", "int8")]
    for number in range(options.epochs):
        for one in contestants:
            one.epoch(number, options.batch_size)
            print(f"epoch {number + 1} {one.name:5}{one.seconds[-1]:7.1f} s  loss {one.losses[-1]['train']:.4f}, "
                  f"validation {one.losses[-1]['validation']:.4f}", file=sys.stderr, flush=True)
    return contestants


def summary(options, contestants):
    "Plain numbers, and whether the targets were met."
    import torch
    off, rows = contestants[0], []
    for one in contestants:
        row = {"cache": one.name, "seconds_per_epoch": round(statistics.median(one.seconds), 2),
               "seconds": [round(s, 2) for s in one.seconds], "losses": one.losses}
        if one is not off:
            apart = [abs(a[split] - b[split]) for a, b in zip(off.losses, one.losses) for split in a]
            row |= {"filling_seconds": round(one.filling, 2), "kilobytes_per_image": round(one.kilobytes, 2),
                    "times_faster": round(statistics.median(a / b for a, b in zip(off.seconds, one.seconds)), 2),
                    "times_faster_with_filling": round(sum(off.seconds) / (sum(one.seconds) + one.filling), 2),
                    "largest_difference_in_loss": round(max(apart), 6)}
        rows.append(row)
    met = all(r["times_faster"] >= TARGET and r["largest_difference_in_loss"] <= LOSS[r["cache"]] for r in rows[1:])
    met &= rows[2]["kilobytes_per_image"] <= SIZE
    parts = {name: sum(p.numel() for n, p in off.model.named_parameters() if name in n.split("."))
             for name in ("vision_tower", "multi_modal_projector", "language_model")}
    trained = sum(p.numel() for p in off.model.parameters() if p.requires_grad)
    setup = {"images": options.images, "epochs": options.epochs, "pixels": options.size, "batch_size": options.batch_size,
             "language_training": options.train, "rate": options.rate, "tower": options.tower, "language": options.language, "parameters": parts | {"trained": trained},
             "machine": machine(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    return {"name": "captioner_cache", "setup": setup, "rows": rows, "targets": {"times_faster": TARGET, "kilobytes": SIZE, "loss": LOSS}, "met": met}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--images", type=int, default=2000, help="training scenes")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--tower", type=int, nargs=3, default=[192, 8, 16], metavar=("WIDTH", "LAYERS", "PATCH"), help="of the vision tower")
    parser.add_argument("--language", type=int, nargs=2, default=[64, 2], metavar=("WIDTH", "LAYERS"), help="of the language model")
    parser.add_argument("--train", choices=("lora", "full"), default="full", help="what of the language model is trained (its weights are random)")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as it is")
    parser.add_argument("--output", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    import torch
    if options.threads: torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COCKATOO_CACHE"] = folder
        found = summary(options, measure(options, Path(folder)))
    if options.output: options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if options.json: print(json.dumps(found))
    else:
        for row in found["rows"]:
            gain = "" if row["cache"] == "off" else (
                f"  {row['times_faster']:.1f} times faster ({row['times_faster_with_filling']:.1f} with {row['filling_seconds']:.0f} s of filling)"
                f"  loss within {row['largest_difference_in_loss']:.1e}  {row['kilobytes_per_image']:.0f} kB an image")
            print(f"cache {row['cache']:5}{row['seconds_per_epoch']:8.1f} s an epoch{gain}")
    return int(not found["met"])


if __name__ == "__main__": sys.exit(main())
