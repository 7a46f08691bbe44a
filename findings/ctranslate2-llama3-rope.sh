#!/usr/bin/env bash
# ctranslate2 accepts Llama folders with rope type "llama3" (its converter lists it as supported, unlike "yarn", which it refuses), but the converted model turns
# positions as if there were no scaling at all: factor, band limits and the original length make no difference to its logits.
#
# Versions: ctranslate2 4.8.5, transformers 5.23.0, torch 2.13.0.
# Cost: models of the Llama 3.1/3.2 kind (factor 8 or 32) run unscaled. The first tokens agree with transformers, so a short prompt passes; the error grows with the
#   position, and long contexts, for which the scaling exists, are read with other positions than in training.
# Instead: compare logits on a text as long as the longest in use before serving; for models with this scaling use a runtime that passes that.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3 ctranslate2==4.8.5 numpy==2.4.6
cd "$work"
HF_HUB_OFFLINE=1 "$work/venv/bin/python" - 2> err.txt <<'PY' || { status=$?; tail -n 5 err.txt; exit "$status"; }
import logging
logging.disable(logging.CRITICAL)
import ctranslate2, numpy as np, torch, transformers
from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(64)}, unk_token="w0"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
ids = torch.randint(3, 64, (1, 1500), generator=torch.Generator().manual_seed(1))

def logits(name, **rope):
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                         max_position_embeddings=8192, pad_token_id=0, bos_token_id=1, eos_token_id=2, rope_parameters={"rope_theta": 500000.0, **rope})
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2: p.mul_(6)                               # random weights, large enough for attention to matter
        ours = model(ids).logits[0].numpy()
    model.save_pretrained(name)
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0", pad_token="w0", bos_token="w1", eos_token="w2").save_pretrained(name)
    TransformersConverter(name).convert(name + "-ct2")
    generator = ctranslate2.Generator(name + "-ct2", device="cpu", compute_type="float32")
    return ours, np.array(generator.forward_batch([ids[0].tolist()], return_log_probs=False))[0]

print("ctranslate2", ctranslate2.__version__, "| transformers", transformers.__version__, "| torch", torch.__version__)
band = dict(rope_type="llama3", low_freq_factor=1.0, high_freq_factor=4.0)
plain_hf, plain_ct = logits("plain", rope_type="default")
ok = np.abs(plain_hf - plain_ct).max() < 1e-2
print(f"no scaling           : ctranslate2 against transformers, largest difference of a logit {np.abs(plain_hf - plain_ct).max():.4f}")
for factor, length in [(8.0, 8192), (32.0, 8192), (8.0, 1024)]:
    hf, ct = logits(f"f{factor:.0f}-{length}", factor=factor, original_max_position_embeddings=length, **band)
    off, same, early = np.abs(hf - ct).max(), np.abs(ct - plain_ct).max(), np.abs(hf - ct)[:4].max()
    print(f"llama3 x{factor:2.0f}, {length:4} long: against transformers {off:.4f} (first four tokens {early:.4f}), against itself without scaling {same:.4f}")
    ok &= off > 0.3 and same < 1e-3 and early < off / 3
try:
    logits("yarn", rope_type="yarn", factor=4.0, original_max_position_embeddings=1024)
    yarn = "accepted"
except NotImplementedError as e:
    yarn = str(e)
print("yarn:", yarn)
ok = bool(ok and "llama3" in yarn)
print("as described" if ok else "CHANGED: this finding is out of date")
raise SystemExit(0 if ok else 1)
PY
