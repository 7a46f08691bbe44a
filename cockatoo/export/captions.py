"""Moved to `cockatoo.captioner.predict`; model cards of earlier runs import it from here."""

from cockatoo.captioner.predict import CaptionPredictor, image_files

__all__ = ["CaptionPredictor", "image_files"]
