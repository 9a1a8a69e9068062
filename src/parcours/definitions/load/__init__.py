"""Read definitions from text or from JSON values, and check them together.

Pure over text: whoever calls reads the files. YAML is read as JSON's types and nothing else: `on`, `yes`, `12:30` and
`1980-12-31` are text, a key given twice is a mistake, and no tag makes anything. JSON is read by a reader of its own,
because YAML's stumbles over tabs, surrogate pairs and long keys. Both remember the line of every value.

| module       | what of it                                                                      |
|--------------|---------------------------------------------------------------------------------|
| `text`       | from text to plain data: files, limits, documents, the lines of each definition |
| `yaml_text`  | the reader of YAML                                                              |
| `json_text`  | the reader of JSON                                                              |
| `document`   | what both share                                                                 |
| `assembling` | from plain data to definitions, checked together and with what is known         |
| `dumping`    | and back: plain data, YAML                                                      |
"""

from __future__ import annotations

from parcours.definitions.load.assembling import definitions_in, load, load_data, with_known_good
from parcours.definitions.load.dumping import dump, dump_yaml
from parcours.definitions.load.text import DEFINITION_SUFFIXES, LARGEST_SOURCE, Located, Source, is_scenario_file, read

__all__ = [
    "DEFINITION_SUFFIXES",
    "LARGEST_SOURCE",
    "Located",
    "Source",
    "definitions_in",
    "dump",
    "dump_yaml",
    "is_scenario_file",
    "load",
    "load_data",
    "read",
    "with_known_good",
]
