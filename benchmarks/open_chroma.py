"""Import chromadb and open a store's collection, nothing else: what any program over Chroma pays.

Usage: python benchmarks/open_chroma.py FOLDER
"""

import sys

import chromadb
from chromadb.config import Settings

client = chromadb.PersistentClient(sys.argv[1], settings=Settings(anonymized_telemetry=False))
names = [collection.name for collection in client.list_collections() if collection.name.startswith("photos-")]
client.get_collection(names[0], embedding_function=None).count()
