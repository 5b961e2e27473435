"""Segmenter (Strudel et al. 2021) with its mask transformer, on any plain vision transformer (ViT) of timm."""

import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from .backbone import color_statistics, timm_backbone
from .weights import resize_positions

# The paper's backbones: patches of 16 x 16 pixels, AugReg weights at 384 x 384 (ImageNet-21k, then 1k).
SIZES = {size: f"vit_{size}_patch16_384.augreg_in21k_ft_in1k" for size in ("tiny", "small", "base", "large")}

NO_PLAIN_VIT = (
    "{} is not a plain vision transformer, but Segmenter needs patches, one class token, learned positions of both and a "
    "final norm; take segmenter_tiny, segmenter_small or segmenter_base"
)


class Segmenter(nn.Module):
    """ViT encoder, then a decoder in which one token per class meets the patches; a score is their cosine.

    Layers and initialization follow rstrudel/segmenter `segm/model/{vit,decoder,segmenter}.py` and `segm/config.yml`.
    Two choices of ours: the encoder's layer norms keep timm's eps 1e-6, which the weights were trained with (there
    1e-5), and the position embedding is resized whenever the grid differs (there when the number of patches does). ValueError for a
    classifier other than "linear".
    """

    def __init__(self, backbone: str, n_classes: int, imagenet: bool, classifier: str, temperature: float):
        super().__init__()
        if classifier != "linear":
            raise ValueError(
                f"classifier is {classifier!r}, but a segmenter already compares vectors of length 1 in its mask decoder and has "
                "no last layer to replace; write classifier=linear, or take deeplabv3plus or small_unet"
            )
        self.backbone = plain_vit(SIZES.get(backbone, backbone), imagenet)
        self.mean, self.std = color_statistics(SIZES.get(backbone, backbone))
        self.multiple = self.backbone.patch_embed.patch_size[0]
        d = self.backbone.embed_dim
        self.project = nn.Linear(d, d)
        self.class_tokens = nn.Parameter(torch.empty(1, n_classes, d))
        block = {"qkv_bias": True, "proj_drop": 0.1, "attn_drop": 0.1, "norm_layer": nn.LayerNorm}
        self.blocks = nn.Sequential(*[Block(d, d // 64, **block) for _ in range(2)])
        self.norm = nn.LayerNorm(d)
        self.patch_matrix = nn.Parameter(torch.empty(d, d))
        self.class_matrix = nn.Parameter(torch.empty(d, d))
        self.score_norm = nn.LayerNorm(n_classes)  # over the classes: a logit starts within +-sqrt(C - 1)
        for part in (self.project, self.blocks):
            for module in part.modules():
                if isinstance(module, nn.Linear):
                    nn.init.trunc_normal_(module.weight, std=0.02)
                    nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.class_tokens, std=0.02)
        nn.init.normal_(self.patch_matrix, std=d**-0.5)
        nn.init.normal_(self.class_matrix, std=d**-0.5)

    def encode(self, x: Tensor) -> Tensor:
        """(B, h * w, d) float patch tokens, row by row, of normalized images (B, 3, h * patch, w * patch)."""
        vit = self.backbone
        x = vit.patch_embed(x)  # (B, h, w, d)
        positions = resize_positions(vit.pos_embed, vit.patch_embed.grid_size, tuple(x.shape[1:3]))
        x = torch.cat([vit.cls_token.expand(len(x), -1, -1), x.flatten(1, 2)], dim=1) + positions
        return vit.norm(vit.blocks(vit.norm_pre(x)))[:, 1:]  # the class token has no place in the image

    def decode(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Patch features (B, h * w, d) of length 1 and logits (B, h * w, C), float32, of the encoder's patch tokens."""
        classes = self.class_tokens.expand(len(patches), -1, -1)
        x = self.norm(self.blocks(torch.cat([self.project(patches), classes], dim=1)))
        # Float32 under autocast too: cosines in half precision tie, and the norm below spreads what is left of them.
        with torch.autocast(x.device.type, enabled=False):
            patches, classes = x.float().split([patches.shape[1], classes.shape[1]], dim=1)
            patches = F.normalize(patches @ self.patch_matrix, dim=-1)
            classes = F.normalize(classes @ self.class_matrix, dim=-1)
            return patches, self.score_norm(patches @ classes.transpose(1, 2))

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, d, h, w) of length 1 over d, which is compared with the classes, and (B, C, h, w) logits, both float32, of normalized
        images (B, 3, H, W); H and W are divisible by the patch size (here 16), and h and w smaller by that factor."""
        grid = [side // self.multiple for side in x.shape[2:]]
        return tuple(tokens.transpose(1, 2).unflatten(2, grid) for tokens in self.decode(self.encode(x)))


def plain_vit(name: str, imagenet: bool) -> VisionTransformer:
    """The timm ViT without its classifier, drop-path 0 to 0.1 from the first block to the last, no dropout.

    Raises as `timm_backbone`, and ValueError for anything but patch embedding, one class token with a position of its own,
    blocks whose width is a multiple of 64, and a final norm.
    """
    try:
        # dynamic_img_size: any number of patches, as a grid (we resize the position embedding ourselves; timm: bicubic)
        options = {"num_classes": 0, "drop_path_rate": 0.1, "dynamic_img_size": True}
        vit = timm_backbone(name, imagenet, example=f"{SIZES['small']} (in short: small)", **options)
    except (TypeError, AssertionError) as error:  # timm: no such option
        raise ValueError(NO_PLAIN_VIT.format(name)) from error
    plain = (
        type(vit) is VisionTransformer
        and type(vit.patch_embed) is PatchEmbed
        and vit.num_prefix_tokens == 1
        and vit.has_class_token
        and vit.pos_embed is not None
        and not vit.no_embed_class
        and not isinstance(vit.norm, nn.Identity)
        and vit.embed_dim % 64 == 0
    )
    if not plain:
        raise ValueError(NO_PLAIN_VIT.format(name))
    return vit
