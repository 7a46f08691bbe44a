"""Moved to `cockatoo.classifier.clip`; model cards of earlier runs import it from here."""

from cockatoo.classifier.clip import CLIPClassifier, CockatooCLIPConfig

__all__ = ["CLIPClassifier", "CockatooCLIPConfig"]
