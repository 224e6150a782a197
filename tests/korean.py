"""A Korean text of any length, made of a few words: for texts whose alphabet is in the thousands."""

import random

WHO = ["강물이", "늙은 사공이", "아이들이", "바람이", "이웃 사람이", "왜가리 한 마리가", "달빛이", "할머니께서"]  # fmt: skip
WHERE = ["다리 아래에서", "언덕 너머로", "빈 마당에", "새벽 시장에서", "눈 덮인 골목을", "부엌 문 앞에", "먼 바닷가에"]  # fmt: skip
HOW = ["천천히", "말없이", "다시", "혼자", "노래하며", "뒤돌아보며", "아주 조용히", "웃으면서"]
DID = ["걸어갔다", "기다렸다", "사라졌다", "돌아왔다", "쉬고 있었다", "편지를 읽었다", "불을 켰다", "이름을 불렀다"]  # fmt: skip
ENDS = [".", ".", ".", "!", "?"]


def korean(characters: int, seed: int = 0) -> str:
    """Return at least so many characters of sentences, a few to a paragraph."""
    rng, written, length = random.Random(seed), [], 0
    while length < characters:
        parts = [rng.choice(WHO), rng.choice(WHERE), rng.choice(HOW), rng.choice(DID)]
        if rng.random() < 0.3:
            parts.insert(0, f"“{rng.choice(DID)}{rng.choice(ENDS)}”")
        sentence = " ".join(parts) + rng.choice(ENDS) + ("\n\n" if rng.random() < 0.2 else " ")
        written.append(sentence)
        length += len(sentence)
    return "".join(written)
