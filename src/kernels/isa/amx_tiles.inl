// How many rows and bytes a row each tile has (Intel SDM, LDTILECFG). All eight are whole at first.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// gcc 12 does not know that tile instructions read all of what p points to.
void written(const void* p) noexcept { asm volatile("" ::"r"(p) : "memory"); }

void load(const TileConfig& c) noexcept {
  written(&c);
  _tile_loadconfig(&c);
}
