"""Moved to `cockatoo.classifier.predict`; model cards of earlier runs import it from here."""

from cockatoo.classifier.predict import Predictor

__all__ = ["Predictor"]
