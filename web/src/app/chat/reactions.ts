/** The reactions that can be given: few enough to find one at a glance. */
export const reactions = ['👍', '❤️', '😂', '🎉', '😮', '😢', '🙏', '👏', '🔥', '👀', '✅', '❌'] as const;
