"""Photos, roots and decisions in a ChromaDB: the only folder that imports chromadb."""
