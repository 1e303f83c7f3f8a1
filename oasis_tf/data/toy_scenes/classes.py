"""The classes of the toy scenes; the data set has no don't-care id."""

CLASS_NAMES = (
    "sky",
    "cloud",
    "sun",
    "mountain",
    "forest",
    "grass",
    "water",
    "road",
    "tree",
    "house",
    "roof",
)
(
    SKY,
    CLOUD,
    SUN,
    MOUNTAIN,
    FOREST,
    GRASS,
    WATER,
    ROAD,
    TREE,
    HOUSE,
    ROOF,
) = range(len(CLASS_NAMES))

COLORS = (
    (126, 192, 238),
    (236, 240, 245),
    (255, 214, 64),
    (142, 128, 150),
    (24, 92, 74),
    (139, 195, 74),
    (38, 98, 186),
    (92, 92, 98),
    (46, 142, 60),
    (240, 178, 132),
    (192, 62, 52),
)
