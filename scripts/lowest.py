"""Print the lowest version of each requirement that settings.ini allows, as constraints for pip."""
import re
from configparser import ConfigParser
from pathlib import Path

ini = ConfigParser(delimiters=["="])
ini.read(Path(__file__).resolve().parent.parent / "settings.ini", encoding="utf-8")
for requirement in ini["DEFAULT"]["requirements"].split():
    if match := re.match(r"([\w.-]+)>=([\w.]+)", requirement):
        print(f"{match[1]}=={match[2]}")
