#!/usr/bin/env bash
# transformers 5 takes only the pieces out of a SentencePiece file (spiece.model, tokenizer.model). How texts were cut in training is stored there too (no space put in front,
# spaces kept, unigram or BPE), and is replaced by what the tokenizer class does for its own family: other ids than `sentencepiece` gives, without a word.
#
# Versions: transformers 5.23.0, tokenizers 0.23.3, sentencepiece 0.2.3.
# Cost: a model whose SentencePiece file was trained with `add_dummy_prefix=False` gets another first token for nearly each text, one with `remove_extra_whitespaces=False`
#   loses spaces, and a BPE file in a T5 folder (or a unigram file in a Llama folder) is segmented by the other algorithm. Quality drops; nothing fails.
# Instead: compare `tokenizer.tokenize` with `sentencepiece` on some texts after loading such a folder; where they differ, ship a tokenizer.json made for the file, or feed ids
#   from `sentencepiece` itself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q transformers==5.23.0 tokenizers==0.23.3 sentencepiece==0.2.3 protobuf==7.36.2
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - 2> err.txt <<'PY' || { status=$?; tail -n 5 err.txt; exit "$status"; }
import random, shutil
from importlib.metadata import version
from pathlib import Path
import sentencepiece
from transformers import LlamaTokenizer, T5Tokenizer

random.seed(0)
words = "the cat sat on a mat while rain fell over London in May and birds sang people know why prices rose by half or what to cook for dinner".split()
Path("corpus.txt").write_text("\n".join(" ".join(random.choices(words, k=random.randint(4, 12))) for _ in range(3000)))
texts = ["the cat sat", "London in May", "rain  fell", "people know why prices rose", "what to cook for dinner ", "birds sang"]
file = {T5Tokenizer: "spiece.model", LlamaTokenizer: "tokenizer.model"}

def compare(cls, kind, **options):
    sentencepiece.SentencePieceTrainer.train(input="corpus.txt", model_prefix="m", vocab_size=150, model_type=kind, hard_vocab_limit=False, minloglevel=2,
                                             pad_id=0, unk_id=1, bos_id=2, eos_id=3, **options)
    folder = Path("folder")
    shutil.rmtree(folder, ignore_errors=True); folder.mkdir()
    shutil.copy("m.model", folder / file[cls])
    trained, loaded = sentencepiece.SentencePieceProcessor(model_file="m.model"), cls.from_pretrained(folder)
    other = [(t, trained.encode(t, out_type=str), loaded.tokenize(t)) for t in texts if trained.encode(t, out_type=str) != loaded.tokenize(t)]
    print(f"\n{cls.__name__:14} from a {kind} file, {options or 'no further option'}: {len(other)} of {len(texts)} texts cut otherwise")
    for t, a, b in other[:1]: print(f"  {t!r}\n    sentencepiece {a}\n    transformers  {b}")
    return len(other)

print(" | ".join(f"{p} {version(p)}" for p in ("transformers", "tokenizers", "sentencepiece")))
own = dict(remove_extra_whitespaces=False, normalization_rule_name="identity")                # the settings of Llama's own file
n = [compare(T5Tokenizer, "unigram"), compare(T5Tokenizer, "unigram", add_dummy_prefix=False), compare(T5Tokenizer, "unigram", remove_extra_whitespaces=False),
     compare(T5Tokenizer, "bpe"),
     compare(LlamaTokenizer, "bpe", **own), compare(LlamaTokenizer, "bpe", add_dummy_prefix=False, **own), compare(LlamaTokenizer, "unigram", **own)]
print("\ntexts cut otherwise:", n)
said = [line for line in open("err.txt") if "prefix" in line or "normaliz" in line or "unigram" in line.lower()]
print("warnings about it:", said)
ok = n[0] == n[4] == 0 and n[1] >= 5 and n[5] >= 5 and all(k >= 1 for k in (n[2], n[3], n[6])) and not said
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
